"""The reference models: small networks that ship with diffbench, and the code that re-creates them."""
