"""Where a network comes from: torchvision, timm, a file, or trained here."""
