"""Terms of texts in any script: what is the same word is the same term, and what is looked for is found."""

from __future__ import annotations

import pytest

from services.common.text import lexical

EQUAL = [
    # Marks and case.
    ("resume", "résumé"), ("STRASSE", "Straße"), ("naive", "naïve"), ("Lodz", "Łódź"), ("oystein", "ØYSTEIN"),
    ("aether", "Æther"), ("coeur", "Cœur"), ("Dang", "Đặng"), ("ilkbahar", "İlkbahar"), ("ısı", "ISI"),
    ("ΑΘΗΝΑ", "Αθήνα"), ("ёлка", "елка"), ("за\u0301мок", "замок"), ("e\u0301cole", "école"),
    ("ＡＢＣ", "abc"), ("ﬁre", "fire"), ("ｶﾞｷﾞ", "ガギ"), ("ÅSA", "Asa"),
    # What is written together by an apostrophe.
    ("ecole", "l'école"), ("arte", "dell'arte"), ("eau", "d’eau"), ("heure", "jusqu'heure"), ("amico", "un'amico"),
    ("Ankara", "Ankara'da"), ("Ayşe", "Ayşe’nin"), ("Carrie", "Carrie's"), ("Carrie", "Carrie’s"),
    # Points, signs and forms of letters.
    ("كتاب", "كِتَاب"), ("كتاب", "كـــتاب"), ("احمد", "أحمد"), ("الى", "إلى"), ("ایران", "إيران"),
    ("שלום", "שָׁלוֹם"), ("צהל", 'צה"ל'), ("ज़रूर", "जरूर"), ("चांद", "चाँद"), ("हिंदी", "हिन्दी"), ("می\u200cخواهم", "میخواهم"),
    # Figures.
    ("99000", "99,000"), ("99000", "99.000"), ("99000", "99 000".replace(" ", "\u202f")), ("99000", "99'000"),
    ("1234567", "1,234,567"), ("100000", "1,00,000"),
    ("1250000", "1 250 000"), ("1250000", "1\u202f250\u202f000"), ("it cost 12000", "it cost 12 000"),
    ("5521", "٥٥٢١"), ("5521", "५५२१"), ("5521", "５５２１"),
    # Particles and prefixes that are written with the word.
    ("학교", "학교에서"), ("박지민", "박지민이"), ("비밀번호", "비밀번호는"), ("ספר", "הספר"), ("ילד", "והילד"),
    ("كتاب", "الكتاب"), ("собака", "собаки"), ("किताब", "किताबें"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_one_word_is_one_term_however_it_is_written(one: str, other: str) -> None:
    assert lexical.terms(one) == lexical.terms(other) != []


@pytest.mark.parametrize(
    "word",
    [
        "नमस्ते",
        "हिन्दी",
        "תּוֹרָה",
        "ภาษา",
        "น้ำ",
        "ພາສາ",
        "ភាសា",
        "မြန်မာ",
        "தமிழ்",
        "বাংলা",
        "ગુજરાતી",
        "كِتَاب",
        "한국어",
        "語",
        "東京",
    ],
)
def test_a_word_does_not_split_at_its_marks(word: str) -> None:
    assert len(lexical.terms(word)) == 1


@pytest.mark.parametrize(
    ("looked_for", "text"),
    [
        ("红茶", "他每天早上喝红茶"),
        ("李娜", "周末李娜请我们吃饭。"),
        ("茶", "我喝茶"),
        ("北京大学", "王小明昨天去了北京大学"),
        ("紅茶", "他每天早上喝紅茶"),
        ("東京", "来週東京に行きます"),
        ("猫", "黒猫を飼っている"),
        ("コーヒー", "コーヒーカップを買った"),
        ("りんご", "朝にりんごを食べた"),
        ("รถไฟ", "เรานั่งรถไฟไปเชียงใหม่"),
        ("ປະຕູ", "ລະຫັດປະຕູແມ່ນ 5521"),
        ("ទ្វារ", "លេខកូដទ្វារគឺ 5521"),
        ("5521", "門の暗証番号は5521です"),
        ("5521", "비밀번호는 5521입니다"),
        ("학교", "나는 학교에 갔다"),
        ("בית", "אני בבית"),
    ],
)
def test_what_is_looked_for_is_found_inside_a_text_without_spaces(looked_for: str, text: str) -> None:
    assert lexical.terms(looked_for)
    assert set(lexical.terms(looked_for)) <= set(lexical.terms(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C", "C++"),
        ("C++", "C#"),
        ("C", "C--"),
        ("C--", "C++"),
        ("F#", "F"),
        ("A", "A+"),
        ("B", "B-"),
        ("B+", "B-"),
        ("net", ".NET"),
        ("12345", "12 345"),
        ("493012345678", "+49 301 234 5678"),
        ("йод", "иод"),
        ("कम", "काम"),
        ("か", "が"),
        ("มา", "ม้า"),
    ],
)
def test_signs_and_marks_that_make_another_name_are_kept(one: str, other: str) -> None:
    assert lexical.terms(one) != lexical.terms(other)


@pytest.mark.parametrize(
    ("looked_for", "text", "other"),
    [
        ("IT", "She works in IT now.", "It works now."),
        ("US", "He moved to the US.", "He moved to Spain."),
        ("The Who", "We heard The Who in Leeds.", "Who was it that we heard in Leeds?"),
        ("Them", "I like Them best of all.", "I like them best of all."),
        ("WHO", "The WHO said so.", "The man who said so."),
        ("C++", "He writes C++, and C# too.", "He writes C."),
        (".NET", "She writes .NET, not Java.", "The net is torn. See example.net."),
        ("B-", "He got a B- in maths.", "Plan B - or plan B-2 - and B, and B--- too."),
        ("C--", "He compiles to C--.", "He compiles to C -- or to C++ -- and to C--or C---."),
    ],
)
def test_names_that_are_function_words_too_can_be_searched_for(looked_for: str, text: str, other: str) -> None:
    wanted = set(lexical.terms(looked_for))
    assert wanted
    assert wanted & set(lexical.terms(text))
    assert not wanted & set(lexical.terms(other))


@pytest.mark.parametrize(
    ("query", "text", "other"),
    [
        ("the who", "We heard The Who in Leeds.", "Who was it that we heard in Leeds?"),
        ("it", "She works in IT now.", "It works now."),
        ("will", "Ask Will about it.", "I will ask about it."),
        ("them", "I like Them best of all.", "I like them best of all."),
    ],
)
def test_a_query_of_function_words_alone_keeps_them(query: str, text: str, other: str) -> None:
    wanted = set(lexical.query_terms(query))
    assert wanted & set(lexical.terms(text))
    assert not wanted & set(lexical.terms(other))
    assert lexical.query_terms(text) == lexical.terms(text)


def test_a_capital_that_says_nothing_keeps_no_function_word() -> None:
    assert lexical.terms("IT IS WHAT I WANT") == ["want"]
    assert lexical.terms("Ann: What is it? The hat, I think.") == ["ann", "hat", "think"]


@pytest.mark.parametrize(
    ("text", "language", "left"),
    [
        ("Wie lautet der Code für das Tor?", "de", ["lautet", "code", "tor"]),
        ("Qual è il codice del cancello?", "it", ["codic", "cancello"]),
        ("¿Cuál es el código de la puerta?", "es", ["codigo", "puerta"]),
        ("Quel est le code du portail ?", "fr", ["code", "portail"]),
        ("Jaki jest kod do bramy?", "pl", ["kod", "brami"]),
        ("Какой код от ворот?", "ru", ["код", "ворот"]),
        ("门的密码是什么？", "zh", ["门", "密", "密码", "码"]),
        ("門の暗証番号は何ですか？", "ja", ["門", "暗", "暗証", "証", "証番", "番", "番号", "号"]),
        ("गेट का कोड क्या है?", "hi", ["गेट", "कोड"]),
        ("문의 비밀번호는 무엇입니까?", "ko", ["문의", "비밀번호"]),
        ("รหัสประตูคืออะไร", "th", ["รหัส", "ประตู"]),
    ],
)
def test_function_words_are_those_of_the_texts_language(text: str, language: str, left: list[str]) -> None:
    assert lexical.languages(text) == {language}
    assert lexical.terms(text) == left


@pytest.mark.parametrize(
    "text", ["Carrie's hat", "Die Hard was on.", "Los Angeles", "It was war.", "ok, go on", "5521"]
)
def test_words_that_english_shares_with_others_do_not_make_a_text_foreign(text: str) -> None:
    assert lexical.languages(text) <= {"en"}
