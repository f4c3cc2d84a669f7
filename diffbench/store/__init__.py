"""A run on disk, without torch: files that appear whole, seals that betray a changed byte, shards, manifests."""
