"""Knowledge distillation: one network learns from what another says, or from what its own last layer says."""
