"""Values of a model that its template, its columns and its sources give."""
