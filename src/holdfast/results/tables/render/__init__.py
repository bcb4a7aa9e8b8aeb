"""results.tables.render"""
