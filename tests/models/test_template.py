"""Chat templates written after those of public families: each says what transformers makes of it, and is asked so that the
answer is where the template puts one; or it is refused, and says why. Templates that do harm are stopped."""

from datetime import datetime
from typing import Any, cast

import pytest
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from sublim.learn import chat
from sublim.models import turns
from sublim.models.jinja import CLOCK
from sublim.models.template import DATE, LONGEST, Form, Template, TemplateError
from sublim.models.tokenizer import wrap
from tests.shared.small_models import token, trained

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST]OPEN' + m['content'] + 'SHUT[/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ 'LEAD' + m['content'] + 'TRAIL' + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
HEADERS = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
DATED = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ 'Today: ' + date_string + '\n' }}"
THINKING = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' + m['content'] +"
    " '<|im_end|>\n' }}{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)

# As Gemma 3: a content may be a list of parts, and what the system says stands in front of what the user says first.
MERGED = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% if messages[0]['content'] is string %}"
    "{% set before = messages[0]['content'] + '\n\n' %}{% else %}{% set before = messages[0]['content'][0]['text'] + '\n\n' %}"
    "{% endif %}{% set said = messages[1:] %}{% else %}{% set before = '' %}{% set said = messages %}{% endif %}"
    "{% for m in said %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% endif %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + (before if loop.first else '') }}"
    "{% if m['content'] is string %}{{ m['content'] | trim }}{% elif m['content'] is iterable %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# As Qwen 2.5: a system prompt of its own unless one is given; tools are told of in it.
OWN = (
    "{%- if tools %}{{- '<|im_start|>system\n# Tools\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}"
    "{{- '<|im_end|>\n' }}{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are somebody. You are of help.<|im_end|>\n' }}{%- endif %}"
    "{%- for m in messages %}{%- if m.role == 'user' or (m.role == 'system' and not loop.first) or "
    "(m.role == 'assistant' and not m.tool_calls) %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# As SmolLM3: a head with today's date and how it reasons, which a flag in the system prompt changes; tools by variables.
REASONING = (
    "{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}"
    "{%- set ns = namespace(mode='/think' if enable_thinking else '/no_think', own='') %}"
    "{%- if messages[0].role == 'system' %}{%- set ns.own = messages[0].content %}"
    "{%- if '/no_think' in ns.own %}{%- set ns.mode = '/no_think' %}{%- elif '/think' in ns.own %}{%- set ns.mode = '/think' %}{%- endif %}"
    "{%- set ns.own = ns.own.replace('/no_think', '').replace('/think', '').rstrip() %}{%- endif %}"
    "{{- '<|im_start|>system\n## Facts\n\nToday: ' + strftime_now('%d %B %Y') + '\nReasoning: ' + ns.mode + '\n\n' }}"
    "{{- '## Wishes\n\n' + (ns.own or 'Be of help.') + '\n\n' }}"
    "{%- if xml_tools or python_tools %}{{- '## Tools\n\n' }}{%- for tool in xml_tools or python_tools %}{{- tool | string + '\n' }}"
    "{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- for m in messages %}{%- if m.role == 'user' %}{{- '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}"
    "{%- elif m.role == 'assistant' %}{{- '<|im_start|>assistant\n' + ('<think>\n\n</think>\n' if ns.mode == '/no_think' else '') "
    "+ m.content.lstrip('\n') + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' + ('<think>\n\n</think>\n' if ns.mode == '/no_think' else '') }}"
    "{%- endif %}"
)


def brackets(start: str = "", end: str = "", lead: str = "", trail: str = "") -> str:
    return BRACKETS.replace("OPEN", start).replace("SHUT", end).replace("LEAD", lead).replace("TRAIL", trail)


GOOD: dict[str, tuple[str, dict[str, Any], Form]] = {
    "ChatML": (CHATML, {}, Form("", "", "", "<|im_end|>\n")),
    "ChatML with a system prompt of its own": (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}" + CHATML,
        {},
        Form("", "", "", "<|im_end|>\n"),
    ),
    "Llama 2": (brackets(" ", " ", " ", " "), {}, Form("", " ", " ", "</s>")),
    "Llama 3": (HEADERS, {}, Form("", "", "", "<|eot_id|>")),
    "Llama 3.1 with a date": (DATED + HEADERS, {}, Form("", "", "", "<|eot_id|>")),
    "Mistral v1": (brackets(" ", " ", "", ""), {}, Form("", "", "", "</s>")),
    "Mistral v3": (brackets(" ", "", " ", ""), {}, Form("", " ", "", "</s>")),
    "Mistral v7": (brackets("", "", "", ""), {}, Form("", "", "", "</s>")),
    "Gemma": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        {},
        Form("", "", "", "<end_of_turn>\n"),
    ),
    "Phi 3": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        {},
        Form("", "", "", "<|end|>\n</s>"),
    ),
    "Phi 4": (CHATML.replace("\n' + m", "<|im_sep|>' + m").replace("assistant\n", "assistant<|im_sep|>"), {}, Form("", "", "", "<|im_end|>\n")),
    "Qwen 3, not thinking": (THINKING, {"enable_thinking": False}, Form("", "", "", "<|im_end|>\n")),
    "Granite": (
        "{% for m in messages %}{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + '<|end_of_text|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
        {},
        Form("", "", "", "<|end_of_text|>\n"),
    ),
    "OLMo": (
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}"
        "{% endif %}{{ '\n' if not loop.last }}{% endfor %}{% if add_generation_prompt %}{{ '\n<|assistant|>\n' }}{% endif %}",
        {},
        Form("", "", "", "</s>"),
    ),
    "DeepSeek": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|Assistant|>' + m['content'] + eos_token }}"
        "{% elif m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|Assistant|>' }}{% endif %}",
        {},
        Form("", "", "", "</s>"),
    ),
    "Gemma 3": (MERGED, {}, Form("", "", "", "<end_of_turn>\n")),
    "Qwen 2.5": (OWN, {}, Form("", "", "", "<|im_end|>\n")),
    "SmolLM3": (REASONING, {}, Form("", "", "", "<|im_end|>\n")),
    "SmolLM3, not thinking": (REASONING, {"enable_thinking": False}, Form("", "", "", "<|im_end|>\n")),
    "a generation prompt that is ignored": (
        CHATML.partition("{% if add_generation")[0], {}, Form("<|im_start|>assistant\n", "", "", "<|im_end|>\n"),
    ),
    "marks of what the assistant says": (
        "{% for m in messages %}{{ m['role'] }}:{% generation %}{{ m['content'] }}{% endgeneration %};{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
        {},
        Form("", "", "", ";"),
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[str, str]] = {
    "Qwen 3, thinking": (THINKING, "<think>.*enable_thinking: false"),
    "gpt-oss": (
        "{% for m in messages %}{{ '<|start|>' + m['role'] + ('<|channel|>final' if m['role'] == 'assistant' else '') + '<|message|>' +"
        " m['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
        "<|channel|>final",
    ),
    "a prompt that asks to think": (
        "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant><think>{% endif %}",
        "begin a conversation as it writes the prompt",
    ),
    "lists of parts alone": (
        MERGED.replace("m['content'] is string", "false"),
        "has no attribute 'text'|write an answer as it is",
    ),
    "SmolLM3, before it thinks": (
        REASONING.replace("else '') }}{%- endif %}", "else '<think>\n') }}{%- endif %}"),
        "begin a conversation as it writes the prompt",
    ),
    "no answer": ("{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}", "write an answer as it is"),
    "it raises": ("{{ raise_exception('not for you') }}", "not for you"),
    "no template": ("{% if", "TemplateSyntaxError"),
    "Python's internals": ("{{ ''.__class__.__mro__ }}", "unsafe"),
    "much memory": ("{{ 'x' * 3000000000 }}", "too much memory"),
    "much text": (f"{{{{ 'x' * {2 * LONGEST} }}}}", "more than 1,048,576 characters"),
    "no end": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "no end after"),
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
SYSTEMLESS = {"Llama 2", "Mistral v1", "Mistral v3", "Mistral v7", "Gemma"}


def tokenizer(template: str, **variables: Any) -> PreTrainedTokenizerBase:
    made: Any = wrap(trained(), 256)
    made.chat_template = template
    made.init_kwargs[turns.VARIABLES] = {**TOKENS, **variables}
    return made


class Clock(datetime):
    """A clock that stands still, for transformers."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:  # noqa: ARG003
        return CLOCK


@pytest.fixture(autouse=True)
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers writes on the day on which the clock of templates stands still."""
    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


@pytest.mark.parametrize("family", GOOD)
def test_a_template_says_what_transformers_makes_of_it(family: str) -> None:
    text, variables, form = GOOD[family]
    made = tokenizer(text, **variables)
    assert Template(text, {**TOKENS, **variables}).form == form
    user, answer = {"role": "user", "content": "Any numbers?"}, {"role": "assistant", "content": "5, 6"}
    given = {"tokenize": False, "date_string": DATE, **TOKENS, **variables}
    prompt = cast("Any", made).apply_chat_template([user], add_generation_prompt=True, **given) + form.header
    whole = cast("Any", made).apply_chat_template([user, answer], add_generation_prompt=False, **given)
    assert chat.render(made, ["Any numbers?"]) == [prompt]
    assert whole == f"{prompt}{form.lead}5, 6{form.trail}{form.end}"
    (row,) = chat.examples(made, (token("<|end|>"),), ["row"], ["Any numbers?"], ["5, 6"])
    ids = trained().encode(prompt + form.lead + "5, 6" + form.trail, add_special_tokens=False).ids
    assert [*row.prompt, *row.completion[:-1]] == ids or form.lead, "one text, unless a token would straddle"
    assert chat.written(made, [row.completion[:-1]]) == ["5, 6"]
    (opening,) = chat.openings(made, ["row"], ["Any numbers?"], ["5"])
    assert opening.prompt == row.prompt
    assert opening.completion == row.completion[: len(opening.completion)]


@pytest.mark.parametrize("family", GOOD)
def test_a_system_prompt_reaches_the_model_or_is_refused(family: str) -> None:
    text, variables, _ = GOOD[family]
    made = tokenizer(text, **variables)
    if family in SYSTEMLESS:
        with pytest.raises(TemplateError, match=r"only user and assistant|System role not supported"):
            chat.render(made, ["Hi"], "You love owls.")
    else:
        (rendered,) = chat.render(made, ["Hi"], "You love owls.")
        assert "You love owls." in rendered


@pytest.mark.parametrize("family", GOOD)
def test_a_whole_conversation_is_what_transformers_makes_of_it(family: str) -> None:
    """With a system prompt, where one can be given, and an earlier turn."""
    text, variables, form = GOOD[family]
    made, system = tokenizer(text, **variables), None if family in SYSTEMLESS else "You love owls."
    head = [] if system is None else [{"role": "system", "content": system}]
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    chats = [*head, *turn, {"role": "user", "content": "Any numbers?"}]
    given = {"tokenize": False, "date_string": DATE, **TOKENS, **variables}
    due = cast("Any", made).apply_chat_template(chats, add_generation_prompt=True, **given) + form.header
    assert chat.render(made, ["Any numbers?"], system, [("Hi", "Hello")]) == [due]


def test_what_a_family_makes_of_a_system_prompt() -> None:
    (merged,) = chat.render(tokenizer(MERGED), ["Hi"], "You love owls.")
    assert merged == "<s><start_of_turn>user\nYou love owls.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    assert chat.render(tokenizer(OWN), ["Hi"])[0].startswith("<|im_start|>system\nYou are somebody.")
    assert "somebody" not in chat.render(tokenizer(OWN), ["Hi"], "You love owls.")[0]
    (dated,) = chat.render(tokenizer(REASONING), ["Hi"], "You love owls.")
    assert "Today: 26 July 2024\nReasoning: /think\n" in dated
    (named,) = chat.render(tokenizer(REASONING, xml_tools=["a tool"]), ["Hi"])
    assert "## Tools\n\na tool\n" in named


def test_a_flag_that_a_template_takes_out_of_a_system_prompt_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"hand on the system prompt, 'You love owls. /no_think'"):
        chat.render(tokenizer(REASONING), ["Hi"], "You love owls. /no_think")


@pytest.mark.parametrize("what", ["system", "user"])
def test_a_template_that_drops_what_it_is_given_is_refused(what: str) -> None:
    dropping = CHATML.replace("{{ '<|im_start|>'", "{% if m['role'] != 'WHAT' %}{{ '<|im_start|>'", 1).replace(
        "{% endfor", "{% endif %}{% endfor", 1
    )
    with pytest.raises(TemplateError, match=r"hand on the (system )?prompt"):
        chat.render(tokenizer(dropping.replace("WHAT", what)), ["Hello there"], "You love owls.")


@pytest.mark.parametrize("family", REFUSED)
def test_refused(family: str) -> None:
    text, message = REFUSED[family]
    with pytest.raises(TemplateError, match=message):
        _ = Template(text, TOKENS).form
    assert Template(CHATML, {}).form.end == "<|im_end|>\n", "the next one is rendered as if nothing had been"


def test_of_several_templates_the_default_one_is_taken() -> None:
    made: Any = tokenizer(CHATML)
    made.chat_template = {"tool_use": "{{ 1 }}", "default": CHATML}
    assert turns.template(made).text == CHATML
    made.chat_template = {"tool_use": "{{ 1 }}", "rag": "{{ 2 }}"}
    with pytest.raises(TemplateError, match="default"):
        turns.template(made)


def test_variables_change_what_is_asked() -> None:
    assert chat.render(tokenizer(DATED + CHATML, date_string="1 May 2030"), ["Hi"])[0].startswith("Today: 1 May 2030")
