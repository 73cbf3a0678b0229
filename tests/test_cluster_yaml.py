from pathlib import Path

import yaml

FILE = Path(__file__).parent.parent / "cluster.yaml"


def test_nodes_send_no_usage_statistics_and_what_they_mount_exists():
    config = yaml.safe_load(FILE.read_text())
    starts = [
        c for key in ("head_start_ray_commands", "worker_start_ray_commands") for c in config[key] if "ray start" in c
    ]
    assert len(starts) == 2
    assert all("--disable-usage-stats" in command for command in starts)
    assert all((FILE.parent / source).is_file() for source in config["file_mounts"].values())
