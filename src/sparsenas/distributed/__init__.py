"""What several processes do together, and the devices they run on."""
