"""The parts of a picture of the knowledge graph; :mod:`kg_actor.draw` puts them together."""
