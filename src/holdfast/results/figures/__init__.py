"""results.figures"""
