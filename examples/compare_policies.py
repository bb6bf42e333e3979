"""Compare two policies on held-out prompts: scores with an interval, and a blind table for a person.

    python compare_policies.py --before story-model --after policy --reward_model reward --dataset heldout.csv

Both policies complete each prompt once. judge.csv has the two completions of each prompt in a random order, unless they
are equal, and an empty column `better` for a person, who writes `first`, `second` or `equal`; judge_key.csv says which
policy wrote the first one. Rows that stay empty are left out:

    python compare_policies.py --judged judge.csv
"""

import argparse
import csv
import random
import sys
from pathlib import Path

import torch
from scipy.stats import binomtest, ttest_rel
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from rlhf_losses import Scorer, convert_dataset, load_rows


def main() -> None:
    """Write the table and print the scores, or count the judgments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="folder or name of the first policy")
    parser.add_argument("--after", help="folder or name of the second policy")
    parser.add_argument("--reward_model", help="folder of the reward model")
    parser.add_argument("--dataset", help="rows with a column `prompt` on which neither model was trained")
    parser.add_argument("--columns", help="renaming of columns, such as prompt=question")
    parser.add_argument("--converter", help="converter of the dataset (default: detected from the columns)")
    parser.add_argument("--plugin", action="append", default=[], help="Python file with a converter; repeatable")
    parser.add_argument("--max_completion_length", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, default=Path("judge.csv"), help="table for a person (default: judge.csv)")
    parser.add_argument("--judged", type=Path, help="table that a person has filled in")
    args = parser.parse_args()
    if args.judged:
        print(count_judgments(args.judged))
        return
    if not (args.before and args.after and args.reward_model and args.dataset):
        parser.error("--before, --after, --reward_model and --dataset are required.")
    if args.table.exists():
        parser.error(f"{args.table} exists, and can have judgments. Take another name: --table NAME.")

    prompts = held_out_prompts(args)
    before, after = complete(args.before, prompts, args), complete(args.after, prompts, args)
    if before == after:
        sys.exit("Both policies wrote the same completions, so there is nothing to compare.")
    print(compare_scores(Scorer.from_pretrained(args.reward_model), prompts, before, after))
    count = write_table(args.table, prompts, before, after, args.seed)
    equal = len(prompts) - count
    left_out = f"; {equal} with equal texts {'is' if equal == 1 else 'are'} left out" if equal else ""
    print(f"For a person: {count} prompts in {args.table}{left_out}. The key is {key_of(args.table)}.")


def held_out_prompts(args: argparse.Namespace) -> list:
    """Return each prompt once: the interval assumes that completions are independent."""
    rows = load_rows(args.dataset, columns=args.columns)
    prompts = convert_dataset(rows, args.converter, args.dataset, args.plugin, texts_only=True)["prompt"]
    return list({str(prompt): prompt for prompt in prompts}.values())


@torch.inference_mode()
def complete(name: str, prompts: list, args: argparse.Namespace) -> list:
    """Return a sampled completion of each prompt, a text or messages as the prompt."""
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(name).to(device).eval()
    set_seed(args.seed)
    texts = []
    for start in range(0, len(prompts), args.batch_size):
        batch = prompts[start : start + args.batch_size]
        chat = not isinstance(batch[0], str)
        if chat:
            batch = tokenizer.apply_chat_template(batch, add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(batch, padding=True, return_tensors="pt", add_special_tokens=not chat).to(device)
        ids = model.generate(
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            do_sample=True,
            top_k=0,
            temperature=args.temperature,
            max_new_tokens=args.max_completion_length,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts += tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return texts if isinstance(prompts[0], str) else [[{"role": "assistant", "content": text}] for text in texts]


def compare_scores(scorer: Scorer, prompts: list, before: list, after: list) -> str:
    """Return the mean scores, their difference with a 95 % interval of paired samples, and the mean lengths."""
    old, new = scorer(prompts, before), scorer(prompts, after)
    low, high = ttest_rel(new, old).confidence_interval()
    means = [sum(values) / len(prompts) for values in (old, new)]
    words = [sum(len(shown(one).split()) for one in texts) / len(prompts) for texts in (before, after)]
    higher = sum(a > b for a, b in zip(new, old, strict=True))
    return "\n".join(
        (
            f"score: before {means[0]:.3f}, after {means[1]:.3f}",
            f"difference: {means[1] - means[0]:+.3f} (95 % interval {low:+.3f} to {high:+.3f})",
            f"words: before {words[0]:.1f}, after {words[1]:.1f}",
            f"The score after is higher for {higher} of {len(prompts)} prompts.",
        )
    )


def write_table(file: Path, prompts: list, before: list, after: list, seed: int) -> int:
    """Write the blind table and its key, with the prompts in a random order, and return the number of prompts."""
    chance = random.Random(seed)
    rows = [
        {"prompt": shown(prompt), "before": shown(old), "after": shown(new)}
        for prompt, old, new in zip(prompts, before, after, strict=True)
        if old != new
    ]
    chance.shuffle(rows)
    sides = [chance.choice((("before", "after"), ("after", "before"))) for _ in rows]
    # With a byte order mark, Excel reads UTF-8.
    with file.open("w", encoding="utf-8-sig", newline="") as table, key_of(file).open("w", newline="") as key:
        to_judge, to_key = csv.writer(table), csv.writer(key)
        to_judge.writerow(("number", "prompt", "first", "second", "better"))
        to_key.writerow(("number", "first", "second"))
        for number, (row, (first, second)) in enumerate(zip(rows, sides, strict=True), start=1):
            to_judge.writerow((number, row["prompt"], row[first], row[second], ""))
            to_key.writerow((number, first, second))
    return len(rows)


def count_judgments(file: Path) -> str:
    """Return the share of prompts for which the later policy was judged better, with a 95 % interval."""
    if not key_of(file).exists():
        sys.exit(f"{file} has no key {key_of(file)}. Give the table the name under which it was written.")
    policy_of = {row["number"]: row for row in load_rows(key_of(file))}
    counts = {"before": 0, "after": 0, "equal": 0}
    for row in load_rows(file):
        word = str(row["better"] or "").strip().lower()
        if word not in ("", "first", "second", "equal"):
            sys.exit(f"Number {row['number']} of {file} has {word!r} in `better`. Write first, second or equal.")
        if word:
            counts[word if word == "equal" else policy_of[row["number"]][word]] += 1
    decided = counts["before"] + counts["after"]
    if not decided:
        sys.exit(f"The column `better` of {file} has no judgment. Write first, second or equal.")
    low, high = binomtest(counts["after"], decided).proportion_ci(method="wilson")
    return (
        f"after is better {counts['after']} times, before {counts['before']} times, equal {counts['equal']} times.\n"
        f"Share of after among the decided: {counts['after'] / decided:.2f} (95 % interval {low:.2f} to {high:.2f})"
    )


def key_of(file: Path) -> Path:
    """Return the file of the key of a table."""
    return file.with_name(f"{file.stem}_key.csv")


def shown(text: str | list) -> str:
    """Return a text, or the messages of a conversation one after another."""
    return text if isinstance(text, str) else "\n".join(f"{one['role']}: {one['content']}" for one in text)


if __name__ == "__main__":
    main()
