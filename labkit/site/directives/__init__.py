"""What pages may ask for that is made from the records and the registries."""
