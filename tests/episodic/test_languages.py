"""Said and asked in one language: found, and first; and what was not said is not found. Through the real recall, with
what ships. The embedder knows English alone: it is the words that carry the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.common import config
from services.common.models.embed import Embedder
from services.episodic.config import EpisodicConfig
from services.episodic.plugins import build
from tests.episodic.world import World


class Said(NamedTuple):
    language: str
    fact: str
    beside: str
    asked: str
    foreign: str


FACTS = [
    Said(
        "it",
        "Il codice del cancello è 5521.",
        "Grazie mille.",
        "Qual è il codice del cancello?",
        "Chi ha riparato il trombone?",
    ),
    Said(
        "it",
        "Il treno per Torino parte alle nove.",
        "Va bene.",
        "Quando parte il treno per Torino?",
        "Chi ha perso l'ombrello?",
    ),
    Said("pl", "Kod do bramy to 5521.", "Dziękuję.", "Jaki jest kod do bramy?", "Kto naprawił puzon Marty?"),
    Said("pl", "Wizyta u dentysty jest w czwartek.", "Dobrze.", "Kiedy jest wizyta u dentysty?", "Gdzie są parasole?"),
    Said(
        "ja",
        "門の暗証番号は5521です。",
        "ありがとう。",
        "門の暗証番号は何ですか？",
        "誰がトロンボーンを修理しましたか？",
    ),
    Said(
        "ja",
        "会議は三階の会議室で開かれます。",
        "わかりました。",
        "会議はどこで開かれますか？",
        "傘を忘れたのは誰ですか？",
    ),
    Said("hi", "गेट का कोड 5521 है।", "धन्यवाद।", "गेट का कोड क्या है?", "तुरही किसने ठीक की?"),
    Said("hi", "दवा की दुकान स्टेशन के पास है।", "ठीक है।", "दवा की दुकान कहाँ है?", "छाता किसने खोया?"),
    Said(
        "de",
        "Der Schlüssel liegt unter dem Blumentopf.",
        "Danke schön.",
        "Wo liegt der Schlüssel?",
        "Wer hat die Posaune repariert?",
    ),
    Said(
        "fr",
        "L'école de Léa commence à huit heures.",
        "Merci beaucoup.",
        "À quelle heure commence l'école de Léa ?",
        "Qui a réparé le trombone ?",
    ),
    Said(
        "es",
        "La contraseña del wifi es girasol.",
        "Muchas gracias.",
        "¿Cuál es la contraseña del wifi?",
        "¿Quién reparó el trombón?",
    ),
    Said("pt", "O código do portão é 5521.", "Obrigado.", "Qual é o código do portão?", "Quem consertou o trombone?"),
    Said(
        "nl", "De sleutel ligt onder de mat.", "Dank je.", "Waar ligt de sleutel?", "Wie heeft de trombone gerepareerd?"
    ),
    Said("sv", "Nyckeln ligger under mattan.", "Tack.", "Var ligger nyckeln?", "Vem lagade trombonen?"),
    Said(
        "ru",
        "Врач принимает в третьем кабинете.",
        "Спасибо.",
        "В каком кабинете принимает врач?",
        "Кто починил тромбон?",
    ),
    Said("uk", "Ключ лежить під килимком.", "Дякую.", "Де лежить ключ?", "Хто полагодив тромбон?"),
    Said("zh", "大门的密码是5521。", "谢谢。", "大门的密码是什么？", "谁修好了长号？"),
    Said("ar", "رمز البوابة هو 5521.", "شكرا.", "ما هو رمز البوابة؟", "من أصلح البوق؟"),
    Said("he", "קוד השער הוא 5521.", "תודה.", "מה קוד השער?", "מי תיקן את הטרומבון?"),
    Said("th", "รหัส wifi ที่บ้านคือ mali2024", "ขอบคุณ", "รหัส wifi ที่บ้านคืออะไร", "ใครซ่อมทรอมโบน"),
    Said(
        "ko", "현관 비밀번호는 5521입니다.", "감사합니다.", "현관 비밀번호가 무엇입니까?", "누가 트롬본을 고쳤습니까?"
    ),
    Said("tr", "Kapının şifresi 5521.", "Teşekkürler.", "Kapının şifresi nedir?", "Trombonu kim tamir etti?"),
    Said("vi", "Chìa khóa xe nằm trong ngăn kéo bếp.", "Cảm ơn.", "Chìa khóa xe nằm ở đâu?", "Ai đã sửa kèn trombone?"),
    Said(
        "el",
        "Ο κωδικός της πύλης είναι 5521.",
        "Ευχαριστώ.",
        "Ποιος είναι ο κωδικός της πύλης;",
        "Ποιος επισκεύασε το τρομπόνι;",
    ),
]


SHIPPED = config.load(environ={}).section("episodic", EpisodicConfig)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[World]:
    """A memory of two turns for each fact."""
    world = World(tmp_path_factory.mktemp("spoken"), embedder, build(SHIPPED.plugins)).open()
    for n, said in enumerate(FACTS):
        world.create(f"acme/{n}")
        world.observe("fact", said.fact, namespace=f"acme/{n}")
        world.observe("beside", said.beside, namespace=f"acme/{n}")
    world.settle()
    yield world
    world.close()


@pytest.mark.parametrize("n", range(len(FACTS)), ids=[f"{said.language}-{n}" for n, said in enumerate(FACTS)])
def test_what_was_said_is_found_in_its_language_and_what_was_not_is_not(spoken: World, n: int) -> None:
    found = spoken.recall(FACTS[n].asked, f"acme/{n}")
    assert found.items[0].record.text == FACTS[n].fact
    assert found.confidence >= SHIPPED.confidence_threshold
    assert spoken.recall(FACTS[n].foreign, f"acme/{n}").confidence < SHIPPED.confidence_threshold


JAPANESE = [
    (
        ["私の妹は札幌に住んでいます。", "来週、犬を病院に連れて行きます。", "鍵は冷蔵庫の上にあります。"],
        ["妹はどこに住んでいますか？", "いつ犬を病院に連れて行きますか？", "鍵はどこにありますか？"],
        ["猫はどこにいますか？", "車は何色ですか？", "傘はどこにありますか？"],
    ),
    (
        ["傘は玄関にあります。", "薬は棚の中にあります。", "母は毎朝六時に起きます。", "兄はピアノが好きです。"],
        ["傘はどこにありますか？", "薬はどこにありますか？", "母は何時に起きますか？", "兄は何が好きですか？"],
        ["鍵はどこにありますか？", "父はどこにいますか？", "誰が来ましたか？", "犬は何を食べましたか？"],
    ),
]


@pytest.mark.parametrize(("told", "asked", "foreign"), JAPANESE)
def test_a_polite_question_finds_what_one_word_of_it_names(
    tmp_path: Path, embedder: Embedder, told: list[str], asked: list[str], foreign: list[str]
) -> None:
    """ "Where is the key?" of a key that one character writes: the verb's ending is none of its words."""
    world = World(tmp_path, embedder, build(SHIPPED.plugins)).open()
    world.create()
    for n, text in enumerate(told):
        world.observe(f"o{n}", text)
    world.settle()
    threshold = SHIPPED.confidence_threshold
    for text, question in zip(told, asked, strict=True):
        recalled = world.recall(question)
        assert (recalled.items[0].record.text, recalled.confidence >= threshold) == (text, True), question
    assert [question for question in foreign if world.recall(question).confidence >= threshold] == []
    world.close()


# In the README's words.
NAMES = {
    "it": "Italian", "pl": "Polish", "ja": "Japanese", "hi": "Hindi", "de": "German", "fr": "French", "es": "Spanish",
    "pt": "Portuguese", "nl": "Dutch", "sv": "Swedish", "ru": "Russian", "uk": "Ukrainian", "zh": "Chinese",
    "ar": "Arabic", "he": "Hebrew", "th": "Thai", "ko": "Korean", "tr": "Turkish", "vi": "Vietnamese", "el": "Greek",
}  # fmt: skip


def test_the_readme_names_the_languages_that_are_measured_here() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (found,) = re.finditer(r"In (\w+) others \(([^)]*)\) all that is measured", readme)
    measured = {NAMES[said.language] for said in FACTS}
    assert sorted(re.split(r",\s+", found[2])) == sorted(measured)
    assert (found[1], len(measured)) == ("twenty", 20)
