"""One example row per dataset format, as documented on the dataset card."""

from rlhf_losses.converters import (
    ArenaTable,
    ArenaVotes,
    Helpsteer2Preference,
    Helpsteer3Preference,
    HelpsteerRatings,
    HhRlhf,
    MathShepherd,
    OpenAssistant,
    Prm800k,
    TokenizedPairs,
    Ultrafeedback,
    UltrafeedbackBinarized,
)

USER, ASSISTANT = "user", "assistant"


def message(role, content):
    return {"role": role, "content": content}


HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant: Because.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant: No idea.",
}

ULTRAFEEDBACK = {
    "source": "evol_instruct",
    "instruction": "Name a colour.",
    "models": ["alpaca-7b", "bard"],
    "completions": [
        {
            "annotations": {
                "helpfulness": {"Rating": "4", "Rationale": "", "Type": ["1"]},
                "honesty": {"Rating": "5", "Rationale": ""},
                "instruction_following": {"Rating": "3", "Rationale": ""},
                "truthfulness": {"Rating": "N/A", "Rationale": ""},
            },
            "custom_system_prompt": "",
            "model": "alpaca-7b",
            "principle": "helpfulness",
            "response": "Red.",
            "critique": "",
            "fine-grained_score": 4.0,
            "overall_score": 7.5,
        },
        {
            "annotations": {"helpfulness": {"Rating": "1"}, "honesty": {"Rating": "2"}},
            "custom_system_prompt": "",
            "model": "bard",
            "principle": "honesty",
            "response": "A car.",
            "critique": "",
            "fine-grained_score": 1.5,
            "overall_score": 1.0,
        },
    ],
    "correct_answers": ["None"],
    "incorrect_answers": ["None"],
}

BINARIZED = {
    "prompt": "Name a colour.",
    "prompt_id": "0a1b",
    "chosen": [message(USER, "Name a colour."), message(ASSISTANT, "Red.")],
    "rejected": [message(USER, "Name a colour."), message(ASSISTANT, "A car.")],
    "messages": [message(USER, "Name a colour."), message(ASSISTANT, "Red.")],
    "score_chosen": 8.5,
    "score_rejected": 3.0,
}

HELPSTEER = {
    "prompt": "c#",
    "response": "A language.",
    "helpfulness": 3,
    "correctness": 4,
    "coherence": 4,
    "complexity": 2,
    "verbosity": 1,
}

HELPSTEER2_PREFERENCE = {
    "split": "train",
    "prompt": "Hi\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\nWhy?",
    "response_1": "No idea.",
    "response_2": "Because.",
    "preference_strength": 2,
    "preference_statement": "@Response 2 is better than @Response 1.",
    "preference_elaboration": "It says why.",
    "three_most_similar_preferences": [
        {"statement": "", "elaboration": "", "strength": 3},
        {"statement": "", "elaboration": "", "strength": 1},
        {"statement": "", "elaboration": "", "strength": 0},
    ],
    "all_preferences_unprocessed": [{"strength": -3, "justification": ""}],
}

HELPSTEER3 = {
    "domain": "general",
    "language": "english",
    "context": [message(USER, "Why?")],
    "response1": "Because.",
    "response2": "No idea.",
    "overall_preference": -1,
    "individual_preference": [
        {"score": -2, "reasoning": "", "feedback1": "", "feedback2": ""},
        {"score": 1, "reasoning": "", "feedback1": "", "feedback2": ""},
    ],
}


def step(*completions, chosen=0, human=None):
    rated = [{"text": text, "rating": rating, "flagged": None} for text, rating in completions]
    return {"completions": rated, "human_completion": human, "chosen_completion": chosen}


def prm(*steps, reason="solution"):
    return {
        "labeler": "340d",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": 9,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {"problem": "What is 2 + 2?", "ground_truth_solution": "4", "ground_truth_answer": "4"},
        "label": {"steps": list(steps), "total_time": 1000, "finish_reason": reason},
    }


SHEPHERD = {
    "input": "Ann has 2 + 2 pears. How many? Step 1: She has 2 + 2. ки\nStep 2: That is 5. The answer is: 5 ки",
    "label": "Ann has 2 + 2 pears. How many? Step 1: She has 2 + 2. +\nStep 2: That is 5. The answer is: 5 -",
    "task": "GSM8K",
}

MT_BENCH = {
    "question_id": 81,
    "model_a": "alpaca-13b",
    "model_b": "gpt-3.5-turbo",
    "winner": "model_b",
    "judge": "author_2",
    "conversation_a": [message(USER, "Hi"), message(ASSISTANT, "a1"), message(USER, "Why?"), message(ASSISTANT, "a2")],
    "conversation_b": [message(USER, "Hi"), message(ASSISTANT, "b1"), message(USER, "Why?"), message(ASSISTANT, "b2")],
    "turn": 1,
}

ARENA_TABLE = {
    "id": 30192,
    "model_a": "gpt-4",
    "model_b": "koala-13b",
    "prompt": '["Hi", "Why?"]',
    "response_a": '["Hello", "Because"]',
    "response_b": '["Hello", null]',
    "winner_model_a": 0,
    "winner_model_b": 0,
    "winner_tie": 1,
}


def tree_message(name, parent, role, rank=None, text=None):
    return {
        "message_id": name,
        "parent_id": parent,
        "user_id": "u",
        "text": text or name,
        "role": role,
        "lang": "en",
        "rank": rank,
        "message_tree_id": "ask",
        "tree_state": "ready_for_export",
    }


TREE = [
    tree_message("ask", None, "prompter"),
    tree_message("good", "ask", "assistant", rank=0),
    tree_message("bad", "ask", "assistant", rank=1),
    tree_message("unranked", "ask", "assistant"),
    tree_message("more", "good", "prompter"),
    tree_message("single", "more", "assistant", rank=0),
]

NATIVE = [
    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    {"prompt": "The sky is", "completion": " blue.", "label": True},
    {"prompt": "2 + 2", "completions": ["is", "5"], "labels": [True, False]},
]

EXAMPLES = {
    HhRlhf: HH,
    Ultrafeedback: ULTRAFEEDBACK,
    UltrafeedbackBinarized: BINARIZED,
    HelpsteerRatings: HELPSTEER,
    Helpsteer2Preference: HELPSTEER2_PREFERENCE,
    Helpsteer3Preference: HELPSTEER3,
    Prm800k: prm(step(("a", 1))),
    MathShepherd: SHEPHERD,
    OpenAssistant: TREE[0],
    ArenaVotes: MT_BENCH,
    ArenaTable: ARENA_TABLE,
    TokenizedPairs: {"chosen_input_ids": [1], "rejected_input_ids": [2]},
}
