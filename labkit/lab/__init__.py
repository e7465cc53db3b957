"""What a run is: profile, seed, parameters, record and claims."""
