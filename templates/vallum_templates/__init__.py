"""What vallum fills in: the report's page and the files that `vallum -s init` writes."""
