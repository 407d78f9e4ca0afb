"""What an attack on kick does, as tests: damaged files, hostile folders, kills. The long part is marked slow."""
