"""The served model as MLflow sees it: prompts in, completions out, computed by llama.cpp from the GGUF file itself.

MLflow stores this file beside the model and runs it when somebody loads the model ("models from code"), so nothing is
pickled. It may be loaded on a machine without this repository, so it imports nothing of it.
"""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Completion(PythonModel):
    def load_context(self, context):
        from llama_cpp import Llama

        # The serving config's values when this was registered; load_model(..., model_config={...}) overrides them.
        self.parameters = dict(context.model_config)
        self.llama: Any = Llama(context.artifacts["gguf"], n_ctx=self.parameters.pop("num_ctx"), verbose=False)

    def predict(self, context, model_input: list[str]) -> list[str]:  # ty: ignore[incompatible-method-override]    MLflow takes it without params
        """One completion for each prompt."""
        return [self.llama.create_completion(prompt, **self.parameters)["choices"][0]["text"] for prompt in model_input]


set_model(Completion())
