"""What tests are built from: models, samples, runs and boards whose answers are known."""
