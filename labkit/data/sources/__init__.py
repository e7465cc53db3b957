"""Where real data sets come from: a module for each publisher, and the registry of all."""
