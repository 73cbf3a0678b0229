// The requests behind what is shown, as lines for a shell and for Python. Pure; no key is ever in them.

const VARIABLE = "MEDEMBED_KEY";

// Of a request {path, body}; `base` is the server's URL, `hasKey` whether it asks for one.
export function curlOf({ path, body }, base, hasKey) {
  const authorization = hasKey ? ` -H "Authorization: Bearer $${VARIABLE}"` : "";
  const headers = `-H 'Content-Type: application/json'${authorization}`;
  return `curl ${quote(base + path)} ${headers} \\\n    -d ${quote(JSON.stringify(body))}\n`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function pythonOfSearch({ path, body }, base, hasKey) {
  const headers = `headers={"Authorization": f"Bearer {os.environ['${VARIABLE}']}"},`;
  return `${hasKey ? "import os\n\n" : ""}import requests

answer = requests.post(
    ${JSON.stringify(base + path)},${hasKey ? `\n    ${headers}` : ""}
    json=${indent(literal(body))},
    timeout=60,
)
answer.raise_for_status()
for document in answer.json()["data"]:
    print(f"{document['score']:.4f}", document["id"])
`;
}

// `sides` are {texts, role} of rows and columns; `asked` is {model, dimensions}; no dimensions: all of the model.
export function pythonOfComparison([rows, columns], { model, dimensions }, base, hasKey) {
  const key = hasKey ? `os.environ["${VARIABLE}"]` : '"none"';
  return `${hasKey ? "import os\n\n" : ""}import numpy as np
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${base}v1`)}, api_key=${key})


def embed(texts, role):
    answer = client.embeddings.create(
        model=${literal(model)}, input=texts, dimensions=${dimensions ?? "None"}, extra_body={"input_type": role}
    )
    return np.array([entry.embedding for entry in answer.data])


rows = ${literal(rows.texts)}
columns = ${columns.texts === rows.texts ? "rows" : literal(columns.texts)}
left = embed(rows, ${literal(rows.role)})
right = embed(columns, ${literal(columns.role)})
print((left @ right.T).round(3))
`;
}

// JSON without true, false and null is Python.
const literal = (value) => JSON.stringify(value, null, 4);
const indent = (text) => text.replaceAll("\n", "\n    ");
