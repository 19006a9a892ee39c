"""Where the corpus comes from: applications in several versions, whose failures are raised for real."""
