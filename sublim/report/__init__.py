"""Reports: tables, figures and pages, from tables alone."""
