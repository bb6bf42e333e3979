"""One example row per dataset format, as documented on the dataset card."""

from rlhf_losses.converters import (
    ArenaTable,
    ArenaVotes,
    BigBenchMistake,
    CapybaraLabels,
    ComparedAnswers,
    Helpsteer2Preference,
    Helpsteer3Preference,
    HelpsteerRatings,
    HhRlhf,
    JudgeBench,
    LlmBar,
    MathShepherd,
    Nectar,
    OpenAssistant,
    PpeBestOfK,
    PpePreference,
    Prm800k,
    PrmBench,
    ProcessBench,
    RewardBench,
    RewardBench2,
    RmBench,
    Shp,
    SkyworkPreferences,
    Solutions,
    StackExchangePaired,
    StackExchangePreferences,
    TokenizedPairs,
    TuluPreferences,
    Ultrafeedback,
    UltrafeedbackBinarized,
    UltraInteract,
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

CAPYBARA = {
    "source": "Airoboros",
    "conversation": [{"input": "Name a colour.", "output": "Red."}, {"input": "Another?", "output": "Blue."}],
    "original_response": "Blue.",
    "generation_prompt": ["<s>[INST] Another? [/INST]"],
    "raw_generation_responses": ["A car."],
    "new_generations": ["A car."],
    "prompt": "Another?",
    "chosen": [
        message(USER, "Name a colour."),
        message(ASSISTANT, "Red."),
        message(USER, "Another?"),
        message(ASSISTANT, "Blue."),
    ],
    "rejected": [
        message(USER, "Name a colour."),
        message(ASSISTANT, "Red."),
        message(USER, "Another?"),
        message(ASSISTANT, "A car."),
    ],
    "rating_chosen": 5,
    "rating_rejected": 2,
    "chosen_model": "original",
    "rejected_model": "OpenHermes",
}

CAPYBARA_LABELS = {
    "prompt": "Another?",
    "completion": CAPYBARA["chosen"],
    "label": True,
    "rating": 5,
    "model": "original",
    "source": "Airoboros",
}

TULU = {
    "id": "wildchat_1",
    "prompt": "Name a colour.",
    "chosen": BINARIZED["chosen"],
    "rejected": BINARIZED["rejected"],
    "source": "wildchat",
}

SKYWORK = {"chosen": CAPYBARA["chosen"], "rejected": CAPYBARA["rejected"], "source": "magpie_ultra"}

ULTRA_INTERACT = {
    "task": "Math_PoT",
    "dataset": "MATH",
    "trajectory": [
        {"from": "user", "value": "What is 2 + 2?"},
        {"from": "assistant", "value": "print(2 * 3)"},
        {"from": "user", "value": "6 is wrong."},
    ],
    "chosen": "print(2 + 2)",
    "rejected": "print(2 - 2)",
    "id": "d1f0_5_3",
    "parent_id": "d1f0",
}

REWARD_BENCH = {
    "prompt": "Name a colour.",
    "chosen": "Red.",
    "chosen_model": "GPT4-Turbo",
    "rejected": "A car.",
    "rejected_model": "alpaca-7b",
    "subset": "alpacaeval-easy",
    "id": 0,
}

REWARD_BENCH2 = {
    "id": "3",
    "prompt": "Name a colour.",
    "chosen": ["Red."],
    "rejected": ["A car.", "A tree.", "Seven."],
    "num_correct": 1,
    "num_incorrect": 3,
    "total_completions": 4,
    "models": ["a", "b", "c", "d"],
    "subset": "Factuality",
    "additional_metadata": None,
}

RM_BENCH = {
    "id": "8",
    "prompt": "Name a colour.",
    "chosen": ["Red.", "A colour is red.", "* red"],
    "rejected": ["Cat.", "A colour is cat.", "* cat"],
    "domain": "chat",
}

LLM_BAR = {"input": "Name a colour.", "output_1": "A car.", "output_2": "Red.", "label": 2}

PPE_PREFERENCE = {
    "question_id": "0a1b",
    "model_a": "gpt-4o",
    "model_b": "claude-3-opus",
    "prompt": "Name a colour.",
    "response_1": "A car.",
    "response_2": "Red.",
    "winner": "model_b",
    "language": "English",
    "hard_prompt": False,
}

PPE_BEST_OF_K = {
    "question_id": "mmlu_pro_1",
    "prompt": "What is 2 + 2?",
    "response_1": "It is 5.",
    "response_2": "It is 4.",
    "response_3": "It is 3.",
    "scores": [False, True, False],
    "parsed_outputs": ["5", "4", "3"],
    "sampled_conflict_pairs": [[0, 1], [1, 2]],
    "category": "math",
}

JUDGE_BENCH = {
    "pair_id": "81ec",
    "original_id": "10646",
    "source": "mmlu-pro-math",
    "question": "What is 2 + 2?",
    "response_model": "gpt-4o",
    "response_A": "It is 5.",
    "response_B": "It is 4.",
    "label": "B>A",
}

NECTAR = {
    "prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant: ",
    "answers": [
        {"answer": "Because.", "model": "gpt-4", "rank": 1.0},
        {"answer": "So.", "model": "llama", "rank": 2.0},
        {"answer": "No idea.", "model": "mistral", "rank": 2.0},
    ],
    "turns": 2,
    "num_responses": 3,
    "source": ["anthropic-hh"],
    "good_natured": True,
}

STACK_EXCHANGE = {
    "qid": 5,
    "question": "<p>Why?</p>",
    "answers": [
        {"answer_id": 6, "author": "a", "author_id": 1, "pm_score": 1, "selected": False, "text": "<p>So.</p>"},
        {"answer_id": 7, "author": "b", "author_id": 2, "pm_score": 4, "selected": True, "text": "<p>Because.</p>"},
        {"answer_id": 8, "author": "c", "author_id": 3, "pm_score": -1, "selected": False, "text": "<p>No.</p>"},
    ],
    "date": "2014/05/13",
    "metadata": ["https://ai.stackexchange.com/questions/5"],
}

STACK_EXCHANGE_PAIRED = {
    "qid": 5,
    "question": "Why?",
    "date": "2014/05/13",
    "metadata": ["https://ai.stackexchange.com/questions/5"],
    "response_j": "Because.",
    "response_k": "No.",
}

SHP = {
    "post_id": "qt3nxl",
    "domain": "askculinary_train",
    "upvote_ratio": 0.98,
    "history": "How do I peel garlic?",
    "c_root_id_A": "hkh25sc",
    "c_root_id_B": "hkh25lp",
    "created_at_utc_A": 1636822112,
    "created_at_utc_B": 1636822110,
    "score_A": 340,
    "score_B": 166,
    "human_ref_A": "Crush it.",
    "human_ref_B": "Shake it.",
    "labels": 1,
    "seconds_difference": 2.0,
    "score_ratio": 2.048,
}

PROCESS_BENCH = {
    "id": "gsm8k-0",
    "generator": "Qwen2-7B-Instruct",
    "problem": "What is 2 + 2 + 1?",
    "steps": ["2 + 2 is 4.", "4 + 1 is 6.", "The answer is 6."],
    "final_answer_correct": False,
    "label": 1,
}

PRM_BENCH = {
    "original_question": "What is 2 + 2 + 1?",
    "modified_question": "What is 2 + 2 + 3?",
    "original_process": ["1. 2 + 2 is 4.", "2. 4 + 1 is 5."],
    "modified_process": ["1. 2 + 2 is 4.", "2. 4 + 3 is 8.", "3. Adding works.", "4. The answer is 8."],
    "modified_steps": [2, 3, 4],
    "error_steps": [2, 4],
    "reason": "4 + 3 is 7.",
    "idx": "circular_prm_test_p1_0",
    "question": "What is 2 + 2 + 1?",
    "classification": "circular",
}

BIG_BENCH_MISTAKE = {
    "input": "Sort: pear apple",
    "steps": ["p comes first.", "So the answer is pear apple"],
    "target": "apple pear",
    "answer": "pear apple",
    "mistake_index": 0,
}

OPEN_R1 = {
    "problem": "What is 2 + 2?",
    "solution": "Four, because it is.",
    "answer": "4",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "source": "olympiads",
    "uuid": "0a1b",
    "is_reasoning_complete": [True, True],
    "generations": ["<think>2 and 2</think>4", "<think>3 and 2</think>5"],
    "correctness_math_verify": [True, False],
    "correctness_llama": None,
    "finish_reasons": ["stop", "stop"],
    "correctness_count": 1,
    "messages": [message(USER, "What is 2 + 2?"), message(ASSISTANT, "<think>2 and 2</think>4")],
}

MATH_INSTRUCT = {
    "question": "What is 2 + 2?",
    "expected_answer": "4",
    "predicted_answer": "5",
    "error_message": "",
    "is_correct": False,
    "generation_type": "without_reference_solution",
    "dataset": "gsm8k",
    "generated_solution": "2 + 2 = 5",
}

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
    SkyworkPreferences: SKYWORK,
    TuluPreferences: TULU,
    CapybaraLabels: CAPYBARA_LABELS,
    UltraInteract: ULTRA_INTERACT,
    RewardBench: REWARD_BENCH,
    RewardBench2: REWARD_BENCH2,
    RmBench: RM_BENCH,
    JudgeBench: JUDGE_BENCH,
    LlmBar: LLM_BAR,
    ComparedAnswers: {"prompt": "2 + 2 = ", "response_a": "5", "response_b": "4", "winner": "b"},
    PpePreference: PPE_PREFERENCE,
    PpeBestOfK: PPE_BEST_OF_K,
    Nectar: NECTAR,
    StackExchangePreferences: STACK_EXCHANGE,
    StackExchangePaired: STACK_EXCHANGE_PAIRED,
    Shp: SHP,
    ProcessBench: PROCESS_BENCH,
    PrmBench: PRM_BENCH,
    BigBenchMistake: BIG_BENCH_MISTAKE,
    Solutions: OPEN_R1,
}
