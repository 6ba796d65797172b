"""Tarot readings: 22 cards, each read for 3 events and 7 themes, every reading from one of 3 angles."""

import io
import zipfile
from datetime import UTC, datetime

import xlsxwriter

COLUMNS = ("evento", "carta", "tema", "secao", "texto")

EVENTS = {
    "Tiragem do Dia": "Na sua tiragem de hoje",
    "Lua Nova": "Sob o céu silencioso desta Lua Nova",
    "Virada do Ano": "Durante todo o ano que agora começa",
}
SECTIONS = ("Luz", "Sombra", "Conselho")

# What each card says, in the order of SECTIONS; `card | light | shadow | advice`, predicates of the card's name.
_CARDS = """
O Louco | convida você a dar o primeiro passo sem mapa e de coração leve | mostra a pressa de quem salta sem olhar onde pisa | pede coragem para começar, com pouca bagagem e muita curiosidade
O Mago | coloca todas as ferramentas sobre a mesa e ao seu alcance | revela promessas bonitas que ainda não saíram do papel | sugere escolher uma única meta e agir com a palavra certa
A Sacerdotisa | abre o véu da intuição e guarda segredos que confortam | aponta silêncios longos demais e verdades escondidas | recomenda escutar antes de falar e confiar no que você sente
A Imperatriz | faz florescer tudo o que foi plantado com carinho | denuncia o cuidado que virou controle ou excesso de mimos | orienta a nutrir o que cresce devagar e a celebrar a beleza
O Imperador | oferece estrutura, firmeza e um chão seguro sob os seus pés | endurece o tom e transforma a ordem em teimosia | aconselha limites claros e decisões que se sustentam no tempo
O Hierofante | aproxima bons mestres e ensinamentos que atravessam gerações | prende você a regras antigas que já perderam o sentido | propõe pedir orientação a quem já percorreu o caminho
Os Enamorados | celebram o encontro e a escolha feita com o coração inteiro | expõem a dúvida de quem deseja dois caminhos ao mesmo tempo | lembram que escolher é também abrir mão com gratidão
O Carro | avança com energia e promete vitória a quem segura as rédeas | corre em círculos quando a vontade puxa para lados opostos | manda definir o destino antes de acelerar
A Justiça | equilibra a balança e devolve a cada um o que é seu | pesa com frieza e cobra contas que foram deixadas de lado | exige honestidade nas palavras e responsabilidade nos atos
O Eremita | acende uma lanterna tranquila no meio do seu caminho | alonga a solidão e confunde recolhimento com fuga | sugere uma pausa para ouvir a própria voz sem distrações
A Roda da Fortuna | gira a seu favor e traz uma mudança que parecia distante | lembra que nada fica parado, nem a sorte nem o azar | ensina a dançar com o imprevisto em vez de resistir a ele
A Força | doma o leão com doçura e revela uma coragem serena | deixa o impulso rugir mais alto do que a razão | indica paciência, porque a gentileza vence onde o grito falha
O Enforcado | mostra o mundo por outro ângulo e ilumina o que era invisível | prolonga um sacrifício que ninguém mais está pedindo | convida a esperar sem culpa até que a resposta amadureça
A Morte | encerra um ciclo e abre terreno limpo para o que vai nascer | revela o apego a uma fase que já terminou faz tempo | pede uma despedida sincera do que não cabe mais na sua vida
A Temperança | mistura as águas com calma e encontra a medida justa | desanda quando um lado recebe tudo e o outro fica vazio | recomenda doses pequenas, ritmo constante e bom humor
O Diabo | desperta desejos intensos e uma vontade enorme de viver | aperta correntes que parecem prazer e cobram caro depois | aconselha dar nome à tentação antes de dizer sim
A Torre | derruba paredes frágeis e deixa entrar o ar fresco da verdade | sacode certezas e assusta quem construiu sobre areia | manda salvar o essencial e reconstruir com base mais firme
A Estrela | derrama esperança e cura as feridas de uma noite longa | promete muito ao longe e esquece o passo de agora | inspira a manter a fé acesa com um gesto simples por dia
A Lua | ilumina sonhos e traz à tona emoções que pediam passagem | espalha neblina e faz o medo parecer maior do que é | sugere não decidir no escuro e anotar os sinais da noite
O Sol | aquece tudo o que toca e garante clareza e alegria | ofusca com tanto brilho e esconde o cansaço por trás do riso | convida a se mostrar por inteiro e a dividir o que é bom
O Julgamento | toca a trombeta que desperta um chamado verdadeiro | repete críticas antigas que já deveriam ter sido perdoadas | propõe rever a própria história e recomeçar sem culpa
O Mundo | fecha um grande ciclo com harmonia e reconhecimento | adia a conclusão por receio do vazio que vem depois | lembra de agradecer a jornada antes de traçar a próxima
"""  # noqa: E501 - one card a line reads as a table

# What a theme adds, in the order of SECTIONS.
_THEMES = """
Amor | No amor, há espaço para ternura, riso e conversas sinceras | No amor, cuidado com o ciúme e com as palavras não ditas | No amor, diga o que sente e ouça sem se defender
Trabalho | No trabalho, seu talento aparece e abre uma porta importante | No trabalho, evite assumir tarefas que não são suas | No trabalho, organize a semana e peça ajuda quando precisar
Dinheiro | No bolso, os esforços antigos começam a dar fruto | No bolso, gastos por impulso podem pesar no fim do mês | No bolso, faça as contas com calma antes de assinar qualquer papel
Saúde | No corpo, a disposição volta aos poucos e o sono melhora | No corpo, o cansaço avisa que o ritmo passou da conta | No corpo, beba água, caminhe um pouco e respeite o descanso
Família | Em casa, a mesa se enche de afeto e boas lembranças | Em casa, velhas mágoas pedem uma conversa que foi adiada | Em casa, reserve um tempo para quem sempre esteve por perto
Amizade | Entre amigos, a confiança cresce e surgem convites alegres | Entre amigos, uma fofoca pode ferir mais do que parece | Entre amigos, seja a pessoa que liga primeiro e perdoa depressa
Espiritualidade | Na vida interior, a fé se renova e acalma os pensamentos | Na vida interior, a dúvida faz barulho, mas também ensina | Na vida interior, medite alguns minutos e agradeça o caminho
"""  # noqa: E501 - one theme a line reads as a table


def _table(text: str) -> dict[str, list[str]]:
    rows = [[part.strip() for part in line.split("|")] for line in text.strip().splitlines()]
    return {name: said for name, *said in rows}


def build_readings() -> list[tuple[str, str, str, str, str]]:
    """The readings, one tuple of COLUMNS each. For each event and theme a card is read from one angle, in turn."""
    readings = []
    for card, predicates in _table(_CARDS).items():
        subject = card[0].lower() + card[1:]
        for turn, (event, moment) in enumerate(EVENTS.items()):
            for number, (theme, additions) in enumerate(_table(_THEMES).items()):
                angle = (turn + number) % len(SECTIONS)
                text = f"{moment}, {subject} {predicates[angle]}. {additions[angle]}."
                readings.append((event, card, theme, SECTIONS[angle], text))
    return readings


def workbook_bytes() -> bytes:
    """The readings as an Excel file of one sheet, with the same bytes in every run.

    The creation time is fixed, and the parts are stored rather than deflated, because zlib builds compress differently.
    """
    packed = io.BytesIO()
    with xlsxwriter.Workbook(packed, {"in_memory": True}) as book:
        book.set_properties({"created": datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)})
        sheet = book.add_worksheet("leituras")
        for number, row in enumerate([COLUMNS, *build_readings()]):
            sheet.write_row(number, 0, row)
    stored = io.BytesIO()
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name), source.read(name))
    return stored.getvalue()
