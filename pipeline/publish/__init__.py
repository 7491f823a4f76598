"""What is handed to others and what is served: the release, MLflow's registry with gates and promotion, Ollama, and the way back from a model."""
