"""Validates every manifest under deploy/kubernetes against published schemas.

Core kinds: PyPI `kubernetes-validate`, strict (an unknown key is an error). JobSet and Kueue kinds: the JSON Schemas in a
directory given as the second argument, one `NAME-GROUP-VERSION.json.gz` each; without it they are named as skipped.

usage: validate.py MANIFEST_DIRECTORY [SCHEMA_DIRECTORY]
"""

import gzip
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def main() -> int:
    manifests = pathlib.Path(sys.argv[1])
    schemas = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    valid, skipped, errors = 0, 0, []
    for path in sorted(manifests.rglob("*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for document in yaml.safe_load_all(path.read_text()):
            if not document:
                continue
            group, _, version = document["apiVersion"].rpartition("/")
            where = f"{path.relative_to(manifests)} {document['kind']}/{document['metadata']['name']}"
            try:
                if group.endswith("x-k8s.io"):
                    name = f"{document['kind'].lower()}-{group}-{version}.json.gz"
                    if schemas is None or not (schemas / name).exists():
                        skipped += 1
                        print(f"skipped {where}: no schema {name}")
                        continue
                    jsonschema.validate(document, json.loads(gzip.decompress((schemas / name).read_bytes())))
                else:
                    kubernetes_validate.validate(document, "1.31", strict=True)
                valid += 1
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                errors.append(f"{where}: {list(error.absolute_path)}: {error.message}")
    for error in errors:
        print("invalid", error)
    print(f"{valid} valid, {skipped} skipped, {len(errors)} invalid")
    return 1 if errors or valid == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
