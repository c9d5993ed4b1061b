"""The language guess: right on clean paragraphs, honest about what it cannot tell."""

from __future__ import annotations

import pytest

from cuvee.feature.language import CODE, UNKNOWN, detect, language_shares, script_of

PARAGRAPHS = {
    "English": (
        "We went down to the river in the morning, and when the boat came they told us that it would not leave."
    ),
    "French": (
        "Nous sommes descendus à la rivière le matin, et quand le bateau est arrivé on nous a dit qu'il ne partait pas."
    ),
    "German": (
        "Am Morgen gingen wir zum Fluss hinunter, und als das Boot kam, sagte man uns, dass es heute nicht mehr fährt."
    ),
    "Spanish": (
        "Por la mañana bajamos al río, y cuando llegó el barco nos dijeron que no iba a salir hasta el día siguiente."
    ),
    "Italian": (
        "La mattina siamo scesi al fiume, e quando è arrivata la barca ci hanno detto che non sarebbe più partita."
    ),
    "Portuguese": (
        "De manhã descemos até ao rio, e quando o barco chegou disseram-nos que não ia partir antes da noite."
    ),
    "Dutch": (
        "In de ochtend gingen we naar de rivier, en toen de boot kwam zeiden ze dat hij die dag niet meer zou varen."
    ),
    "Swedish": (
        "På morgonen gick vi ner till floden, och när båten kom sade de till oss att den inte skulle gå den dagen."
    ),
    "Danish": ("Om morgenen gik vi ned til floden, og da båden kom, sagde de til os, at den ikke ville sejle den dag."),
    "Finnish": (
        "Aamulla menimme joelle, ja kun vene tuli, he sanoivat että se ei enää lähde tänään, mutta huomenna ehkä."
    ),
    "Polish": (
        "Rano zeszliśmy nad rzekę, a kiedy przypłynęła łódź, powiedziano nam, że już dzisiaj nie popłynie dalej."
    ),
    "Czech": ("Ráno jsme šli dolů k řece, a když loď přijela, řekli nám, že už ten den nepojede a že máme čekat."),
    "Hungarian": ("Reggel lementünk a folyóhoz, és amikor a hajó megjött, azt mondták, hogy már nem indul el aznap."),
    "Romanian": ("Dimineața am coborât la râu și, când a venit barca, ni s-a spus că nu mai pleacă în acea zi."),
    "Turkish": (
        "Sabah nehre indik ve tekne geldiğinde bize o gün "
        "artık kalkmayacağını, ama yarın için bir şey olduğunu söylediler."
    ),
    "Indonesian": (
        "Pada pagi hari kami turun ke sungai, dan ketika perahu itu datang mereka mengatakan tidak akan berangkat."
    ),
    "Vietnamese": (
        "Buổi sáng chúng tôi xuống sông, và khi thuyền đến họ nói với chúng tôi rằng nó sẽ không đi trong ngày."
    ),
    "Russian": ("Утром мы спустились к реке, и когда пришла лодка, нам сказали, что сегодня она уже не пойдёт."),
    "Ukrainian": ("Вранці ми спустилися до річки, і коли прийшов човен, нам сказали, що він сьогодні вже не попливе."),
    "Bulgarian": ("Сутринта слязохме до реката и когато лодката дойде, ни казаха, че няма да тръгне през този ден."),
    "Greek": "Το πρωί κατεβήκαμε στο ποτάμι και όταν ήρθε η βάρκα μας είπαν ότι δεν θα φύγει σήμερα.",
    "Arabic": ("في الصباح نزلنا إلى النهر، وعندما جاء القارب قالوا لنا إنه لن يغادر في هذا اليوم من على الضفة."),
    "Persian": (
        "صبح به کنار رودخانه رفتیم و وقتی قایق آمد به ما گفتند که آن روز دیگر حرکت نمی‌کند و باید برای فردا صبر کرد."
    ),
    "Hindi": "सुबह हम नदी के किनारे गए और जब नाव आई तो उन्होंने कहा कि यह आज नहीं जाएगी।",
    "Chinese": "早上我们下到河边，船来的时候他们告诉我们今天不会再开了。",
    "Japanese": "朝、私たちは川へ下りて行きましたが、船が来たとき、今日はもう出ないと言われました。",
    "Korean": "아침에 우리는 강으로 내려갔고, 배가 왔을 때 오늘은 떠나지 않는다고 들었다.",
    "Thai": "ตอนเช้าเราลงไปที่แม่น้ำ และเมื่อเรือมาถึงพวกเขาบอกเราว่าวันนี้เรือจะไม่ออก",
}
PROGRAM = "def area(radius):\n    value = radius * radius * 3.14\n    return value\n\nprint(area(3))\nprint(area(4))\n"


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_a_paragraph_is_recognised(language: str) -> None:
    assert detect(PARAGRAPHS[language]) == language


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        '#include <stdio.h>\nint main(void) {\n    puts("a");\n    return 0;\n}\n',
        "<html><body><p class='x'>Hello</p><p class='y'>you</p></body></html>",
        '{"a": [1, 2, 3], "b": {"c": null}, "d": ["e", "f"]}',
    ],
)
def test_programs_and_markup_are_no_language(text: str) -> None:
    assert detect(text) == CODE


@pytest.mark.parametrize(
    "text", ["", " \n", "12 345, 67", "Xyzzy plugh frotz blorb zork grue quux gnusto rezrov", "\x00\x1b[31m"]
)
def test_what_says_nothing_is_unknown(text: str) -> None:
    assert detect(text) == UNKNOWN


def test_kanji_with_kana_is_japanese_and_han_alone_is_chinese() -> None:
    assert detect("東京都は日本の首都である。") == "Japanese"
    assert detect("東京都日本首都。") == "Chinese"


def test_letters_have_scripts_and_signs_have_none() -> None:
    assert [script_of(c) for c in "aéжα漢あ한אก"] == [
        *("Latin", "Latin", "Cyrillic", "Greek", "Han", "Kana", "Hangul", "Hebrew", "Thai")
    ]
    assert [script_of(c) for c in " 1.\u2014\u00d7\u060c"] == [""] * 6


def test_shares_add_up_and_stand_in_order() -> None:
    texts = [PARAGRAPHS["English"]] * 3 + [PARAGRAPHS["German"], PROGRAM]
    found = language_shares(texts)
    assert found == [
        {"name": "English", "share": 0.6},
        {"name": "German", "share": 0.2},
        {"name": CODE, "share": 0.2},
    ]
    assert language_shares([]) == []
