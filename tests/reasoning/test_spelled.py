"""Numbers in words, weekdays and months of any language stand in the note, in words or figures of any language."""

from __future__ import annotations

import pytest

from services.reasoning import spelled
from tests.reasoning.test_quantities import borne_out

# note of Monday 2 February 2026, what it bears out, what it does not
SAID = [
    ("La reunión es a las 11.", "La reunión es a las once.", "La reunión es a las doce."),
    ("El tren sale a las 10.", "El tren sale a las diez.", "El tren sale a las once."),
    ("Il y en a 16 dans la salle.", "Il y en a seize.", "Il y en a quinze."),
    ("Il y en a 15 dans la salle.", "Il y en a quinze.", "Il y en a seize."),
    ("Le loyer est de 740 euros.", "Le loyer est de sept cent quarante euros.", "Le loyer est de neuf cents euros."),
    ("Le bateau a 21 places.", "Le bateau a vingt et une places.", "Le bateau a vingt-deux places."),
    ("Nous avons vu quatorze cerfs.", "Nous avons vu 14 cerfs.", "Nous avons vu 15 cerfs."),
    ("La course est en mars.", "La course est en mars.", "La course est en avril."),
    ("La réunion est vendredi.", "La réunion est vendredi.", "La réunion est jeudi."),
    ("El alquiler es de 740 euros.", "El alquiler es de setecientos cuarenta euros.", "El alquiler es de doce euros."),
    ("Hay 15 sillas en el salón.", "Hay quince sillas en el salón.", "Hay catorce sillas en el salón."),
    ("Compré doscientas velas.", "Compré 200 velas.", "Compré trescientas velas."),
    ("La boda es el sábado.", "La boda es el sábado.", "La boda es el domingo."),
    ("L'affitto costa 740 euro.", "L'affitto costa settecentoquaranta euro.", "L'affitto costa dodici euro."),
    ("Ho trenta libri in casa.", "In casa ho 30 libri.", "In casa ho quaranta libri."),
    ("Si paga ogni martedì.", "Si paga ogni martedì.", "Si paga ogni lunedì."),
    ("O aluguel custa 740 euros.", "O aluguel custa setecentos e quarenta euros.", "O aluguel custa doze euros."),
    ("O barco parte na quinta-feira.", "O barco parte na quinta-feira.", "O barco parte na segunda-feira."),
    ("Czynsz wynosi 740 euro.", "Czynsz wynosi siedemset czterdzieści euro.", "Czynsz wynosi dwanaście euro."),
    ("Było 12 gości.", "Nie było dwunastu gości, powiedział.", "Było trzynastu gości."),
    ("Zebranie jest w środę.", "Zebranie jest w środę.", "Zebranie jest w poniedziałek."),
    ("Nájem je 740 korun.", "Nájem je sedm set čtyřicet korun.", "Nájem je devět set korun."),
    ("Schůzka je v úterý.", "Schůzka je v úterý.", "Schůzka je ve čtvrtek."),
    ("De huur is 740 euro.", "De huur is zevenhonderdveertig euro.", "De huur is twaalf euro."),
    ("De markt is op zaterdag.", "De markt is op zaterdag.", "De markt is op dinsdag."),
    ("Hyran är 740 euro.", "Hyran är sjuhundrafyrtio euro.", "Hyran är tolv euro."),
    ("Mötet är på torsdag.", "Mötet är på torsdag.", "Mötet är på måndag."),
    ("Huslejen er 740 kroner.", "Huslejen er syvhundrede og fyrre kroner.", "Huslejen er tolv kroner."),
    ("Leien er 35 euro.", "Leien er trettifem euro.", "Leien er trettiseks euro."),
    ("Vuokra on 740 euroa.", "Vuokra on seitsemänsataaneljäkymmentä euroa.", "Vuokra on kaksitoista euroa."),
    ("A lakbér 740 euró.", "A lakbér hétszáznegyven euró.", "A lakbér tizenkettő euró."),
    ("Chiria este de 740 de euro.", "Chiria este de șapte sute patruzeci de euro.", "Chiria este de doisprezece euro."),
    ("El lloguer costa 40 euros.", "El lloguer costa quaranta euros.", "El lloguer costa dotze euros."),
    ("die miete ist 740 euro.", "die miete ist siebenhundertvierzig euro.", "die miete ist zwölf euro."),
    ("kira 740 avro.", "kira yedi yüz kırk avro.", "kira elli avro."),
    ("Sewanya 740 euro.", "Sewanya tujuh ratus empat puluh euro.", "Sewanya delapan ratus euro."),
    ("Аренда стоит 740 евро.", "Аренда стоит семьсот сорок евро.", "Аренда стоит двенадцать евро."),
    ("Нас было 12.", "Не было двенадцати гостей.", "Не было тринадцати гостей."),
    ("Встреча в среду.", "Встреча в среду.", "Встреча в понедельник."),
    ("Отпуск в марте.", "Отпуск в марте.", "Отпуск в апреле."),
    ("День рождения в июле.", "День рождения в июле.", "День рождения в июне."),
    ("Urodziny są w maju.", "Urodziny są w maju.", "Urodziny są w lipcu."),
    ("Juhlat ovat toukokuussa.", "Juhlat ovat toukokuussa.", "Juhlat ovat kesäkuussa."),
    ("Elle habite au 3e étage.", "Elle habite au troisième étage.", "Elle habite au septième étage."),
    ("У меня 3 кота.", "У него три кота.", "У него пять котов."),
    ("Оренда коштує 740 євро.", "Оренда коштує сімсот сорок євро.", "Оренда коштує дванадцять євро."),
    ("Наемът е 750 евро.", "Наемът е седемстотин и петдесет евро.", "Наемът е дванайсет евро."),
    ("Το ενοίκιο είναι 740 ευρώ.", "Το ενοίκιο είναι επτακόσια σαράντα ευρώ.", "Το ενοίκιο είναι δώδεκα ευρώ."),
    ("Ο γάμος είναι την Κυριακή.", "Ο γάμος είναι την Κυριακή.", "Ο γάμος είναι την Τρίτη."),
    ("The rent is 740 euros.", "The rent is setecientos cuarenta euros.", "The rent is settecento euros."),
    ("La foire est le 2026-03-03.", "La foire est le mardi.", "La foire est le jeudi."),
    ("房租是740元。", "房租是740元。", "房租由王强付。"),
    ("李梅每月付房租。", "李梅付房租。", "陈波付房租。"),
]


@pytest.mark.parametrize(("text", "sentence", "invented"), SAID)
def test_what_is_said_in_any_language_is_looked_up(text: str, sentence: str, invented: str) -> None:
    assert borne_out("", text, sentence)
    assert not borne_out("", text, invented)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Marta dice que el cuarto cuesta 740 euros.", "El cuarto cuesta 740 euros, dice Marta."),
        ("O quarto custa 740 euros.", "O quarto custa 740 euros por mês."),
        ("Secondo Marta l'affitto costa 740 euro.", "L'affitto costa 740 euro, secondo Marta."),
        ("Tu sei di Roma e io ho 740 euro.", "Tu sei di Roma."),
        ("Le vélo neuf coûte 740 euros.", "Le vélo coûte 740 euros, dit-on."),
        ("Ann hat 740 euro.", "ann hat 740 euro."),
        ("Я с вами один раз был на море.", "Я один раз был с вами на море."),
        ("Ben set the table, got to bed at ten and had a fire on.", "Ben set the table and had a fire on."),
        ("Once the elf sat on a bin by the fire, it may rain.", "Once the elf sat on a bin, it rained."),
        ("We met at a bistro and ate panini.", "We ate panini at a bistro."),
    ],
)
def test_words_that_are_numbers_elsewhere_are_none(text: str, sentence: str) -> None:
    assert borne_out("", text, sentence)


@pytest.mark.parametrize("sentence", ["They met once.", "Only once.", "They seize it once.", "He was an elf once."])
def test_english_words_are_no_numbers_of_the_language_around_them(sentence: str) -> None:
    around = "¿Cuántos coches vendió? Vendió once coches en la feria. Il y en a seize. Sie hat elf Hühner."
    assert spelled.numbers(sentence, spelled.languages(sentence, around)) == []
    assert spelled.numbers("Vendió once.", spelled.languages("Vendió once.", around)) != []


@pytest.mark.parametrize("language", sorted(frozenset[str]().union(*spelled.LANGUAGES)))
def test_every_language_spells_its_numbers_and_days(language: str) -> None:
    for value in (13, 46, 300, 7_000):
        forms = spelled.spellings(value, language)
        assert forms
        assert not any(forms & spelled.spellings(other, language) for other in (31, 64, 400, 8_000))


def test_figures_of_any_length_are_compared() -> None:
    assert not borne_out("", f"Le code est {'7' * 5_000}.", "Le code est de sept cents, quatorze et mille.")
    assert not borne_out("", "Le code est de sept cents.", f"Le code est {'7' * 5_000}.")
