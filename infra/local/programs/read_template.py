"""Prints a CloudFormation template as JSON, its short tags as the functions they stand for.

usage: read_template.py FILE
"""

import json
import sys

import yaml


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML with any tag."""


def tagged(loader: Loader, tag: str, node: yaml.Node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", tagged)

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as template:
        # A policy's Version looks like a date.
        json.dump(yaml.load(template, Loader), sys.stdout, default=str)
