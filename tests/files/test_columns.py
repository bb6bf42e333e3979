"""Renaming of columns."""

import logging
import math
import re

import pytest
from datasets import Dataset

from rlhf_losses import bradley_terry, cross_entropy, squared_error
from rlhf_losses.data import required_feedback_types
from rlhf_losses.errors import FeedbackMismatchError, InvalidSettingError, UnreadableDatasetError
from rlhf_losses.feedback import Labels, Ratings
from rlhf_losses.files.columns import applicable_columns, parse_columns, rename_columns, written_columns
from rlhf_losses.files.suggested_columns import suggest_columns
from rlhf_losses.files.verdict_columns import Evidence, verdict_evidence
from rlhf_losses.messages.setting_names import command_flags

ROWS = [
    {"id": 1, "question": "Q", "reply": {"text": "a", "by": {"name": "x"}}, "all": [{"text": "a"}, {"text": "b"}]},
    {"id": 2, "question": "R", "reply": None, "all": []},
]


@pytest.fixture(params=["dataset", "stream"])
def data(request):
    dataset = Dataset.from_list(ROWS)
    return dataset if request.param == "dataset" else dataset.to_iterable_dataset()


def renamed(data, text):
    return list(rename_columns(data, parse_columns(text)))


def test_columns_are_renamed_and_others_kept(data):
    assert renamed(data, "prompt=question") == [
        {"prompt": row["question"]} | {name: row[name] for name in row if name != "question"} for row in ROWS
    ]


def test_values_of_objects_and_of_lists_of_objects_become_columns(data):
    rows = renamed(data, "completion=reply.text,completions=all.text,rating=reply.by.name")
    assert [row["completion"] for row in rows] == ["a", None]
    assert [row["completions"] for row in rows] == [["a", "b"], []]
    assert [row["rating"] for row in rows] == ["x", None]
    assert rows[0]["reply"] == ROWS[0]["reply"]


def test_an_element_of_a_list_becomes_a_column():
    rows = renamed(Dataset.from_list(ROWS[:1]), "chosen=all.0.text,rejected=all.1.text")
    assert (rows[0]["chosen"], rows[0]["rejected"]) == ("a", "b")


def test_columns_can_swap_their_names(data):
    rows = renamed(data, "id=question,question=id")
    assert [(row["id"], row["question"]) for row in rows] == [("Q", 1), ("R", 2)]


def test_a_column_with_the_new_name_is_replaced(data):
    assert [set(row) for row in renamed(data, "id=question")] == [{"id", "reply", "all"}] * 2
    assert [row["id"] for row in renamed(data, "id=question")] == ["Q", "R"]


def test_one_column_can_have_two_new_names(data):
    assert [(row["prompt"], row["completion"]) for row in renamed(data, "prompt=question,completion=question")] == [
        ("Q", "Q"),
        ("R", "R"),
    ]


def test_a_column_with_a_dot_in_its_name_is_not_an_object():
    assert renamed(Dataset.from_dict({"response.text": ["a"]}), "completion=response.text") == [{"completion": "a"}]


def test_a_column_whose_first_values_are_null_keeps_its_type():
    data = Dataset.from_list([{"reply": {"text": None}}] * 1_001 + [{"reply": {"text": "a"}}])
    assert renamed(data, "completion=reply.text")[-1]["completion"] == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "prompt=qestion",
            r"columns of train data are id, question, reply, all, .*'qestion'\. Did you mean 'question'\?",
        ),
        ("question=prompt", r"none is 'prompt'\. Did you mean 'prompt=question'\?"),
        (
            "prompt=reply.txt",
            r"Row 0 of train data has the keys text, by where 'txt' should be\. Did you mean 'text'\?",
        ),
        ("prompt=question.text", r"Row 0 of train data has no keys where 'text' should be\. Correct"),
        ("prompt=all.2", r"Row 0 of train data has the keys 0, 1 where '2' should be"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_one(data, text, message):
    with pytest.raises(UnreadableDatasetError, match=message):
        list(rename_columns(data, parse_columns(text), "train data"))


def test_all_unknown_names_are_refused_at_once_and_only_similar_ones_are_suggested():
    data = Dataset.from_dict({"Conversation ID": [1], "Frage": ["a"], "Antwort (Bot)": ["b"]})
    with pytest.raises(UnreadableDatasetError) as raised:
        rename_columns(data, "prompt=Question,completion=antwort,rating=Sterne,label=Sterne", "train data")
    message = str(raised.value)
    assert "and none is 'Question' or 'antwort' or 'Sterne'. Did you mean 'Antwort (Bot)'? Correct" in message
    assert "Conversation ID'" not in message


@pytest.mark.parametrize("old", ["Sterne, 1-5", "a,b", "a=b", "a, b=c", ",", "a,", '"a"b', "ä,ö=ü, é = x"])
def test_a_name_with_commas_or_equals_signs_can_be_renamed(old):
    columns = {"rating": old, "prompt": "Frage"}
    assert parse_columns(written_columns(columns)) == columns
    data = Dataset.from_dict({"Frage": ["a"], old: [5]})
    assert list(rename_columns(data, written_columns(columns))) == [{"prompt": "a", "rating": 5}]


def test_a_comma_before_no_new_name_belongs_to_the_old_one():
    assert parse_columns("rating=Sterne, 1-5, prompt = Frage,") == {"rating": "Sterne, 1-5", "prompt": "Frage"}


@pytest.mark.parametrize("text", ["chosen", "chosen=", "=chosen", "a=b,a=c", "a,b=c", 'a=""'])
def test_invalid_pairs_are_refused(text):
    with pytest.raises(InvalidSettingError, match=r"NEW=OLD pair for each new name\. Write for example chosen="):
        parse_columns(text)


def test_a_mapping_is_accepted():
    assert parse_columns({"chosen": "a"}) == {"chosen": "a"}
    assert parse_columns(None) == {}


def test_a_second_dataset_may_have_the_new_names_already():
    columns = {"prompt": "question", "chosen": "reply.text"}
    assert applicable_columns(columns, ["question", "reply"]) == columns
    assert applicable_columns(columns, ["prompt", "reply"]) == {"chosen": "reply.text"}
    assert applicable_columns(columns, ["prompt", "chosen"]) == {}
    assert applicable_columns(columns, ["other"]) == columns


@pytest.mark.parametrize(
    ("names", "suggestion"),
    [
        (["id", "text_chosen", "text_rejected"], "chosen=text_chosen,rejected=text_rejected"),
        (["prompt", "chosen_response", "rejected_response"], "chosen=chosen_response,rejected=rejected_response"),
        (["question", "answer", "score"], "prompt=question,completion=answer,rating=score"),
        (["problem", "steps", "step_labels"], "prompt=problem,completions=steps,labels=step_labels"),
        (
            ["id", "ticket_text", "reply_a", "reply_b", "winner", "rating_a", "rating_b"],
            "prompt=ticket_text,response_a=reply_a,response_b=reply_b",
        ),
        (
            ["question", "answer_1", "answer_2", "better"],
            "prompt=question,response_a=answer_1,response_b=answer_2,winner=better",
        ),
        (
            ["id", "customer_message", "variant_1", "variant_2", "preferred", "reviewer"],
            "prompt=customer_message,response_a=variant_1,response_b=variant_2,winner=preferred",
        ),
        (["question", "answer_1", "answer_2"], "prompt=question,completion=answer_1,rating=COLUMN"),
        (["prompt", "completion"], "rating=COLUMN"),
        (["id"], "chosen=COLUMN,rejected=COLUMN"),
        (["prompt", "completions", "is_correct"], "ranks=COLUMN"),
        (["prompt", "completion", "is_good"], "label=is_good"),
    ],
)
def test_the_most_similar_names_are_suggested(names, suggestion):
    assert suggest_columns(dict.fromkeys(names, ())) == parse_columns(suggestion)


TEXTS = ["Where is my parcel?", "It is on its way.", "Please wait a day."]
SHEET = {"id": [1, 2, 3], "Kundenfrage": TEXTS, "Variante_1": TEXTS, "Variante_2": TEXTS}
READ = "prompt=Kundenfrage,response_a=Variante_1,response_b=Variante_2,winner="


@pytest.mark.parametrize(
    ("columns", "suggestion"),
    [
        ({**SHEET, "Urteil": ["1", "2", "same"]}, f"{READ}Urteil"),
        ({**SHEET, "turn": [1, 2, 1], "Urteil": [1.0, 2.0, None]}, f"{READ}Urteil"),
        ({**SHEET, "Urteil": ["a", "gleich", "b"]}, f"{READ}Urteil"),
        ({**SHEET, "Urteil": ["left", "", "tie"]}, f"{READ}Urteil"),
        ({**SHEET, "turn": [1, 2, 1]}, "prompt=Kundenfrage,response_a=Variante_1,response_b=Variante_2,winner=COLUMN"),
        (
            {"question": TEXTS, "mark_1": [3], "mark_2": [4], "first reply": TEXTS, "second reply": TEXTS, "x": ["A"]},
            "prompt=question,response_a=first reply,response_b=second reply,winner=x",
        ),
        (
            {"question": TEXTS, "gpt_answer": TEXTS, "own_answer": TEXTS, "preferred": ["2", "1", "same"]},
            "prompt=question,response_a=gpt_answer,response_b=own_answer,winner=preferred",
        ),
        (
            {"message": TEXTS, "new": TEXTS, "old": TEXTS, "preferred": ["2", "1", "same"]},
            "prompt=message,response_a=COLUMN,response_b=COLUMN,winner=preferred",
        ),
        ({"question": TEXTS, "answer": TEXTS, "score": [4, 5], "side": ["left", "right"]},
         "prompt=question,completion=answer,rating=score"),
        ({"question": TEXTS, "preferred": TEXTS, "dispreferred": TEXTS},
         "prompt=question,chosen=preferred,rejected=dispreferred"),
    ],
)  # fmt: skip
def test_a_column_whose_values_name_a_winner_is_suggested_as_one(columns, suggestion):
    assert suggest_columns(columns) == parse_columns(suggestion)


QUESTIONS = ["Wie kündige ich?", "Wo finde ich das Menü?"] * 6
ANSWERS = [f"Gern, das dauert etwa {number} Tage. Öffnen Sie dazu das Menü." for number in range(12)]
NAMES, STARS, GOOD = ["Max", "Zoë", "Jo"] * 4, [4, 5, 1, 2] * 3, [True, False] * 6
GERMAN = {"Nr.": range(12), "Frage": QUESTIONS, "Antwort (Bot)": ANSWERS, "Datum": ["3. April 2026 12:30"] * 12}
FOUND = {"prompt": "Frage", "completion": "Antwort (Bot)"}


@pytest.mark.parametrize(
    ("columns", "suggestion"),
    [
        ({"Bewerter": NAMES, **GERMAN, "Sterne": STARS}, FOUND | {"rating": "Sterne"}),
        ({**GERMAN, "Sterne": ["4,5", "3", "", "5"] * 3}, FOUND | {"rating": "Sterne"}),
        ({**GERMAN, "Sterne": ["k. A.", *"24" * 10], "Jahr": [2026, 2025] * 6}, FOUND | {"rating": "Sterne"}),
        ({"Gut": GOOD, **GERMAN}, FOUND | {"label": "Gut"}),
        ({**GERMAN, "Daumen": [0, 1] * 6, "Sterne": STARS}, FOUND | {"rating": "Sterne"}),
        ({**GERMAN, "Punkte": range(0, 60, 5), "Note": [1.5, 2.0] * 6}, FOUND | {"rating": "Note"}),
        ({**GERMAN, "Sterne": STARS, "Alter": [30, 40] * 6}, {"chosen": "COLUMN", "rejected": "COLUMN"}),
        ({**GERMAN, "Sterne": STARS, "Bereich": ["Konto und Zugang"] * 12}, FOUND | {"rating": "Sterne"}),
        ({**GERMAN, "Sterne": STARS, "Notiz": ["Das ist leider nicht ganz richtig.", *[None] * 11]},
         FOUND | {"rating": "Sterne"}),
        ({"réponse": ANSWERS, "note": STARS}, {"completion": "réponse", "rating": "note"}),
        ({"回答": ["点击设置并选择账户", "请重新启动应用程序"] * 2, "评分": [5, 1] * 2},
         {"completion": "回答", "rating": "评分"}),
        ({"Frage": QUESTIONS, "answer": ANSWERS, "Sterne": STARS},
         {"prompt": "Frage", "completion": "answer", "rating": "Sterne"}),
        ({"Frage": QUESTIONS, "gute Antwort": ANSWERS, "schlechte Antwort": ANSWERS[::-1]},
         {"chosen": "COLUMN", "rejected": "COLUMN"}),
    ],
)  # fmt: skip
def test_values_tell_prompts_answers_and_grades_if_names_say_nothing(columns, suggestion):
    assert suggest_columns(columns) == suggestion


def test_a_suggestion_fits_the_feedback_of_a_loss():
    columns = {**GERMAN, "Sterne": STARS, "Gut": GOOD}
    assert suggest_columns(columns, [Labels]) == FOUND | {"label": "Gut"}
    assert suggest_columns(columns, [Ratings]) == FOUND | {"rating": "Sterne"}
    assert suggest_columns(GERMAN, [Ratings]) == FOUND | {"rating": "COLUMN"}
    assert suggest_columns({**GERMAN, "winner": ["a", "b"] * 6}, [Ratings]) == FOUND | {"rating": "COLUMN"}
    data = Dataset.from_dict({name: list(values) for name, values in columns.items()})
    for loss, grade in (
        (squared_error, "rating=Sterne"),
        (bradley_terry, "rating=Sterne"),
        (cross_entropy, "label=Gut"),
    ):
        suggested = re.escape(f"--columns 'prompt=Frage,completion=Antwort (Bot),{grade}'.")
        with command_flags(["--columns"]), pytest.raises(FeedbackMismatchError, match=suggested):
            required_feedback_types(loss, data.column_names, data)


@pytest.mark.parametrize(
    ("name", "values", "evidence"),
    [
        ("anything", ["a", "B", "", None], Evidence.CLEAR),
        ("anything", ["Model_A", "model b", "both"], Evidence.CLEAR),
        ("anything", [1, 2, "same"], Evidence.CLEAR),
        ("anything", ["1", "2"] * 10 + ["?"], Evidence.POSSIBLE),
        ("preferred", ["1", "2"] * 10 + ["?"], Evidence.CLEAR),
        ("better_answer", [1.0, 2.0, math.nan], Evidence.CLEAR),
        ("preferred", [0, 1, 2], Evidence.CLEAR),
        ("preferred", ["1", "1"], Evidence.POSSIBLE),
        ("preferred", ["GPT-4", "Claude"], Evidence.NAME),
        ("page", [1, 2, 1], Evidence.POSSIBLE),
        *[(name, [1, 2, None], Evidence.NONE)
          for name in ("split", "turn", "rating", "n_votes", "preference_strength", "fold", "stars_count")],
        *[(name, ["A", "B"], Evidence.NONE) for name in ("group", "test_arm", "gold", "variant")],
        ("flag", [0, 1], Evidence.NONE),
        ("label", [0, 1], Evidence.NAME),
        ("grade", ["A", "B", "C"], Evidence.NONE),
        ("page", [1, 2, 3], Evidence.NONE),
        ("empty", [None, ""], Evidence.NONE),
    ],
)  # fmt: skip
def test_letters_and_numbers_that_divide_the_data_are_no_winners(name, values, evidence):
    assert verdict_evidence(name, values) is evidence


def test_a_file_that_has_the_new_names_is_read_with_the_same_renaming(caplog):
    data = Dataset.from_dict({"prompt": ["p"], "response_a": ["a"], "winner": ["a"]})
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        renamed = rename_columns(data, "prompt=customer_message,response_a=variant 1,winner=winner", "heldout.csv")
    assert renamed.column_names == ["prompt", "response_a", "winner"]
    assert caplog.messages == ["heldout.csv: has the columns prompt, response_a already."]
    with pytest.raises(UnreadableDatasetError, match=r"none is 'winer'. Did you mean 'winner'"):
        rename_columns(data, "prompt=winer")
