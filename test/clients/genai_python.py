"""Does one thing with google-genai and prints what came of it, one JSON value to a line.

The environment says where the API is; the argument is a JSON object that says what to do.
"""

import json
import sys

from google import genai
from google.genai import errors, types


def show(value):
    print(json.dumps(value), flush=True)


def ask(client, do):
    config = types.GenerateContentConfig(system_instruction=do.get("system"))
    if do.get("attempts"):
        retries = types.HttpRetryOptions(attempts=do["attempts"])
        config.http_options = types.HttpOptions(retry_options=retries)
    answer = client.models.generate_content(
        model=do["model"], contents=do["prompt"], config=config
    )
    show(answer.text)


def stream(client, do):
    for chunk in client.models.generate_content_stream(
        model=do["model"], contents=do["prompt"]
    ):
        show(chunk.text or "")


def use_tool(client, do):
    asked = []

    def get_weather(city: str) -> str:
        """How the weather is in a city."""
        asked.append(city)
        return do["answer"]

    config = types.GenerateContentConfig(tools=[get_weather])
    answer = client.models.generate_content(
        model=do["model"], contents=do["prompt"], config=config
    )
    show({"asked": asked, "text": answer.text})


def count_tokens(client, do):
    counted = client.models.count_tokens(model=do["model"], contents=do["prompt"])
    show(counted.total_tokens)


def embed(client, do):
    answer = client.models.embed_content(model=do["model"], contents=do["texts"])
    show([len(one.values) for one in answer.embeddings])


def upload(client, do):
    file = client.files.upload(file=do["path"], config={"mime_type": "video/mp4"})
    show({"sizeBytes": str(file.size_bytes), "sha256Hash": file.sha256_hash or ""})


try:
    wanted = json.loads(sys.argv[1])
    globals()[wanted["what"]](genai.Client(), wanted)
except errors.APIError as error:
    show({"code": error.code, "message": str(error)})
    sys.exit(3)
