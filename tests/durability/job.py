"""What the jobs of the load run: prints numbered lines, logs metrics as MLflow's client does (patiently), leaves files, and bears
witness outside of the server. Standard library only, since it runs in environments without packages."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

PATIENCE_S = 120


def main(name, lines, pause, metrics, code, last, fails):
    witness(name, "began")
    for number in range(lines):
        print(f"line {number} of {name}", flush=True)
        if metrics and number % (lines // metrics) == 0:
            log_metric(number // (lines // metrics))
        time.sleep(pause)
    if last == "wait":
        witness(name, "waits")
        time.sleep(600)
    os.makedirs("outputs", exist_ok=True)
    with open("outputs/result.txt", "w") as file:
        file.write(f"result of {name}\n")
    if last:
        with open(os.path.join(last, "data.txt"), "w") as file:
            file.write(f"data of {name}\n")
    witness(name, "ended")
    with open(os.environ["WITNESS"]) as seen:
        ended = [line.split()[:2] for line in seen].count([name, "ended"])
    sys.exit(code if ended > fails else 7)  # fails: so many attempts


def witness(name, word):
    file = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{name} {word} {os.environ.get('RANK', '')}\n".encode())
    os.close(file)


def log_metric(step):
    url = os.environ["MLFLOW_TRACKING_URI"].replace("azureml://", "https://") + "/api/2.0/mlflow/runs/log-metric"
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": 1 / (step + 1), "timestamp": 1_700_000_000_000 + step, "step": step}
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            request = urllib.request.Request(url, json.dumps(body).encode(), headers)
            urllib.request.urlopen(request, context=ssl.create_default_context(), timeout=30).read()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > deadline:
                raise
        except OSError:  # the server is being killed and started again
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    main(given["name"], int(given.get("lines", 10)), float(given.get("pause", 0)), int(given.get("metrics", 0)), int(given.get("code", 0)), given.get("last", ""), int(given.get("fails", 0)))
