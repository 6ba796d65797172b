"""The word lists of the product catalogue: what may be said of which product.

Lists are text, one entry a line, so that a reader of Portuguese can correct them without reading Python. Features,
materials and sizes hang on a family of products for which all of them make sense. `@` stands for the gender ending (`o`
or `a`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """A kind of product; `tail` is the predicate of its opening sentence when the row names no line."""

    name: str
    gender: str  # "o" or "a": the article, and the ending that `@` stands for
    tail: str


@dataclass(frozen=True)
class Feature:
    """A selling point: `verb` + `name` is a predicate, `purpose` an infinitive that follows `para`."""

    verb: str
    name: str
    purpose: str


@dataclass(frozen=True)
class Sizes:
    """How a family is measured: `label` in titles, `lead` and `clause` in descriptions."""

    label: str
    lead: str
    clause: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """Products that share features, materials, sizes and tones."""

    category: str
    made: str  # what comes before the material
    products: tuple[Product, ...]
    features: tuple[Feature, ...]
    materials: tuple[str, ...]
    sizes: Sizes
    tone_word: str  # "cor", or "fragrância" for what has a scent instead
    tones: tuple[str, ...]


@dataclass(frozen=True)
class Voice:
    """How a category's descriptions usually sound.

    `order` lists the sentences: O opening, F features, M material, S size, T tone. `phrasing` is the usual wording of
    each, in the order O F M S T, as an index into the grammar's wordings.
    """

    order: str
    phrasing: tuple[int, int, int, int, int]
    lines: tuple[str, ...]


def _lines(text: str) -> list[list[str]]:
    return [[part.strip() for part in line.split("|")] for line in text.strip().splitlines()]


def _products(text: str) -> tuple[Product, ...]:
    return tuple(Product(*parts) for parts in _lines(text))


def _features(text: str) -> tuple[Feature, ...]:
    return tuple(Feature(*parts) for parts in _lines(text))


def _clauses(text: str) -> dict[str, str]:
    return dict(_lines(text))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


VOICES = {
    "mochilas": Voice("OFMST", (0, 0, 0, 0, 0), ("Urban", "Essencial", "Trip", "Premium", "Eco")),
    "calçados": Voice("OMFTS", (1, 1, 0, 0, 0), ("Sport", "Urban", "Comfort", "Classic", "Max")),
    "panelas": Voice("MOFST", (2, 0, 1, 0, 0), ("Chef", "Family", "Classic", "Premium", "Essencial")),
    "eletroportáteis": Voice("FOSMT", (0, 1, 1, 1, 0), ("Chef", "Smart", "Family", "Max", "Pro")),
    "móveis": Voice("OFMST", (1, 0, 0, 1, 1), ("Home", "Classic", "Studio", "Slim", "Comfort")),
    "cama": Voice("OMFTS", (2, 1, 0, 1, 1), ("Home", "Comfort", "Premium", "Eco", "Classic")),
    "brinquedos": Voice("MOFST", (0, 0, 1, 0, 1), ("Family", "Kids", "Smart", "Eco", "Max")),
    "áudio": Voice("FOSMT", (1, 1, 1, 0, 1), ("Studio", "Sport", "Pro", "Urban", "Max")),
    "informática": Voice("OFMST", (2, 0, 0, 0, 0), ("Pro", "Smart", "Slim", "Studio", "Essencial")),
    "ferramentas": Voice("OMFTS", (0, 1, 0, 1, 0), ("Pro", "Max", "Home", "Essencial", "Classic")),
    "beleza": Voice("MOFST", (1, 0, 1, 1, 0), ("Premium", "Essencial", "Pro", "Eco", "Comfort")),
    "pets": Voice("FOSMT", (2, 1, 1, 1, 0), ("Comfort", "Home", "Premium", "Eco", "Urban")),
    "esporte": Voice("OFMST", (0, 0, 0, 0, 1), ("Sport", "Pro", "Max", "Essencial", "Comfort")),
    "iluminação": Voice("OMFTS", (1, 1, 0, 0, 1), ("Home", "Studio", "Classic", "Eco", "Slim")),
}

LINES = _clauses("""
    Urban | acompanha a correria da cidade
    Essencial | resolve o básico sem complicar
    Trip | nasceu para pegar a estrada
    Premium | capricha em cada acabamento
    Eco | respeita o meio ambiente
    Sport | segue o ritmo de quem treina
    Comfort | coloca o bem-estar em primeiro lugar
    Classic | mantém o charme de sempre
    Max | entrega o máximo em cada uso
    Chef | inspira receitas de restaurante
    Family | pensa na casa inteira
    Smart | simplifica tarefas do cotidiano
    Pro | atende quem exige desempenho
    Home | deixa o lar mais gostoso
    Studio | leva criatividade ao seu espaço
    Slim | cabe onde falta espaço
    Kids | encanta meninos e meninas
""")

# Lines of a few rows only; they have no clause of their own, so the product's tail follows.
RARE_LINES = _names("Aurora, Ipê, Maré, Jatobá, Sertão, Boreal, Cristal, Vento Sul, Tropical, Pampa, Solar, Atlântica")

LINE_NUMBERS = ("100", "150", "200", "250", "300", "400", "500", "700")

TONES = _clauses("""
    Preto | combina com tudo
    Branco | ilumina qualquer canto
    Azul Marinho | passa elegância discreta
    Azul Claro | lembra o céu de verão
    Vermelho | chama atenção de longe
    Verde | traz frescor à rotina
    Verde Oliva | tem um ar aventureiro
    Amarelo | espalha alegria
    Rosa | dá um toque delicado
    Roxo | foge do comum
    Lilás | suaviza o visual
    Cinza | nunca sai de moda
    Grafite | esconde as marcas do uso
    Bege | conversa com tons neutros
    Marrom | transmite aconchego
    Caramelo | aquece a composição
    Laranja | enche o dia de energia
    Vinho | mostra personalidade
    Dourado | brilha sem exagero
    Prata | sugere modernidade
    Turquesa | recorda o mar do Nordeste
    Creme | deixa tudo mais leve
    Lavanda | relaxa no fim do dia
    Baunilha | é doce na medida certa
    Flor de Laranjeira | perfuma com delicadeza
    Capim-Limão | desperta os sentidos
    Frutas Vermelhas | deixa um rastro divertido
    Erva-Doce | lembra casa de avó
""")

FAMILIES = (
    Family(
        "mochilas",
        "Feit@ em",
        _products("""
            Mochila Escolar | a | carrega cadernos e livros com folga
            Mochila Executiva | a | leva o notebook com segurança
            Mochila de Viagem | a | organiza as roupas do passeio
            Bolsa Esportiva | a | vai do treino ao trabalho
            Mala de Mão | a | embarca sem despacho
        """),
        _features("""
            é | Impermeável | proteger os pertences da chuva
            traz | Zíper Antifurto | afastar mãos curiosas
            vem | com Porta USB | recarregar o celular no caminho
            traz | Alça Acolchoada | aliviar o peso nos ombros
            vem | com Bolso Lateral | guardar a garrafa de água
            traz | Forro Reforçado | evitar furos e rasgos
        """),
        _names("Poliéster, Nylon, Lona, Couro Sintético, Sarja"),
        Sizes(
            "{} L", "com {} de capacidade", "acomoda a rotina inteira", _names("15, 18, 20, 22, 25, 28, 30, 35, 40, 45")
        ),
        "cor",
        _names("Preto, Azul Marinho, Cinza, Verde Oliva, Vermelho, Rosa"),
    ),
    Family(
        "calçados",
        "Confeccionad@ em",
        _products("""
            Tênis Casual | o | completa o visual do fim de semana
            Tênis de Corrida | o | impulsiona cada passada
            Tênis de Caminhada | o | deixa o passeio no parque mais leve
            Bota Adventure | a | encara terra e pedra
            Sapatênis | o | transita do escritório ao happy hour
        """),
        _features("""
            é | Antiderrapante | pisar firme no molhado
            é | Respirável | manter os pés secos
            vem | com Amortecimento | reduzir o impacto nos joelhos
            é | Superleve | quase esquecer que está nos pés
            traz | Palmilha Macia | prolongar o conforto
            traz | Solado Flexível | acompanhar o movimento
        """),
        _names("Camurça, Mesh, Lona, Couro, Couro Sintético, Knit"),
        Sizes("Tamanho {}", "no {}", "calça sem apertar", _names("33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44")),
        "cor",
        _names("Preto, Branco, Cinza, Marrom, Azul Claro, Vinho"),
    ),
    Family(
        "panelas",
        "Fabricad@ em",
        _products("""
            Frigideira | a | doura ovos e legumes por igual
            Caçarola | a | apura molhos e ensopados
            Panela Wok | a | salteia legumes em minutos
            Panela Funda | a | cozinha o feijão de domingo
            Caldeirão | o | dá conta de sopas e caldos
        """),
        _features("""
            é | Antiaderente | soltar a comida sem esforço
            traz | Tampa de Vidro | espiar o preparo
            traz | Fundo Triplo | espalhar o calor
            traz | Cabo Frio | evitar queimaduras
            traz | Fundo de Indução | funcionar em qualquer fogão
            vem | com Alças Duplas | levar direto à mesa
        """),
        _names("Alumínio, Inox, Ferro Fundido, Cerâmica, Aço Esmaltado, Cobre"),
        Sizes("{} cm", "com {} de diâmetro", "rende o almoço da família", _names("18, 20, 22, 24, 26, 28, 30, 32, 34")),
        "cor",
        _names("Vermelho, Preto, Creme, Grafite, Azul Claro, Verde"),
    ),
    Family(
        "eletroportáteis",
        "Montad@ em",
        _products("""
            Liquidificador | o | bate vitaminas em segundos
            Mixer de Mão | o | tritura direto na panela
            Processador de Alimentos | o | pica legumes sem lágrimas
            Espremedor de Frutas | o | extrai suco até a última gota
            Moedor de Café | o | libera o aroma dos grãos
        """),
        _features("""
            traz | 5 Velocidades | acertar o ponto da receita
            traz | Função Pulsar | controlar a textura
            é | Silencios@ | não acordar a casa
            traz | Lâminas Serrilhadas | vencer alimentos duros
            traz | Copo Graduado | medir sem sujar louça
            traz | Trava de Segurança | afastar acidentes
        """),
        _names("Inox, Plástico ABS, Acrílico, Vidro Temperado"),
        Sizes(
            "{} W", "com {} de potência", "equilibra força e consumo", _names("250, 300, 400, 500, 600, 700, 800, 900")
        ),
        "cor",
        _names("Preto, Vermelho, Branco, Prata, Turquesa, Roxo"),
    ),
    Family(
        "móveis",
        "Produzid@ em",
        _products("""
            Estante para Livros | a | exibe a sua coleção
            Guarda-Roupa | o | abriga a roupa do casal
            Rack para TV | o | valoriza a sala de estar
            Escrivaninha | a | rende horas de estudo
            Aparador | o | recebe as visitas com estilo
        """),
        _features("""
            vem | com Gavetas | esconder a bagunça
            traz | Pés Palito | dar um toque retrô
            vem | com Rodízios | mudar de lugar sem arrastar
            traz | Prateleira Extra | ganhar mais um andar
            traz | Nicho Aberto | expor plantas e fotos
            traz | Cantos Arredondados | proteger as crianças
        """),
        _names("MDF, MDP, Madeira Maciça, Pinus, Carvalho, Aço"),
        Sizes(
            "{} cm", "com {} de largura", "aproveita bem a parede", _names("90, 100, 110, 120, 135, 150, 160, 180, 200")
        ),
        "cor",
        _names("Branco, Preto, Cinza, Caramelo, Creme, Grafite"),
    ),
    Family(
        "cama",
        "Tecid@ em",
        _products("""
            Jogo de Lençol | o | renova o quarto
            Edredom | o | aquece noites geladas
            Colcha | a | arruma a cama num gesto
            Cobertor | o | pede filme e pipoca
            Protetor de Colchão | o | preserva o investimento no sono
        """),
        _features("""
            é | Antialérgic@ | afastar os ácaros
            é | Dupla Face | trocar o visual em segundos
            traz | Toque Sedoso | embalar o sono
            é | Estampad@ | alegrar o ambiente
            traz | Costura Reforçada | sobreviver às lavagens
            traz | Secagem Rápida | voltar logo para a cama
        """),
        _names("Algodão, Microfibra, Percal, Linho, Plush, Malha"),
        Sizes("{}", "no formato {}", "cobre com a folga ideal", _names("Berço, Solteiro, Viúva, Casal, Queen, King")),
        "cor",
        _names("Branco, Azul Claro, Bege, Lilás, Rosa, Cinza"),
    ),
    Family(
        "brinquedos",
        "Produzid@ em",
        _products("""
            Quebra-Cabeça | o | desafia a paciência da turma
            Jogo de Encaixe | o | desenvolve a coordenação
            Kit de Montar | o | vira castelo ou foguete
            Jogo da Memória | o | exercita a cabeça brincando
            Dominó Infantil | o | ensina a contar
        """),
        _features("""
            é | Educativ@ | estimular o raciocínio
            é | Atóxic@ | garantir brincadeira segura
            é | Resistente | aguentar quedas
            é | Colecionável | crescer a cada aniversário
            vem | com Manual Ilustrado | guiar os primeiros passos
            vem | com Caixa Organizadora | acabar com peças perdidas
        """),
        _names("Plástico, Madeira, Papelão Rígido, EVA, MDF"),
        Sizes("{} Peças", "com {}", "ocupa uma tarde inteira", _names("24, 28, 30, 36, 48, 60, 80, 100, 120")),
        "cor",
        _names("Amarelo, Vermelho, Azul Claro, Verde, Rosa, Laranja"),
    ),
    Family(
        "áudio",
        "Moldad@ em",
        _products("""
            Fone de Ouvido | o | mergulha você na música
            Caixa de Som Portátil | a | anima churrascos e festas
            Headset Gamer | o | revela cada passo do inimigo
            Fone Esportivo | o | não cai durante a corrida
            Rádio de Bolso | o | narra o jogo do seu time
        """),
        _features("""
            traz | Bluetooth | conectar sem fios
            traz | Graves Potentes | sentir a batida
            traz | Microfone Embutido | atender chamadas
            é | à Prova de Respingos | encarar chuva e suor
            traz | Carga Rápida | voltar a tocar em minutos
            vem | com Estojo | transportar sem riscos
        """),
        _names("Plástico ABS, Alumínio, Silicone, Tecido, Borracha"),
        Sizes("{} Horas", "com bateria de {}", "toca longe da tomada", _names("6, 8, 10, 12, 15, 18, 20, 24, 30, 40")),
        "cor",
        _names("Preto, Branco, Azul Marinho, Vermelho, Verde, Dourado"),
    ),
    Family(
        "informática",
        "Montad@ em",
        _products("""
            Teclado | o | agiliza a digitação
            Mouse | o | desliza com suavidade
            Controle Gamer | o | responde na hora do aperto
            Mesa Digitalizadora | a | transforma traços em arte
            Apresentador de Slides | o | conduz reuniões com segurança
        """),
        _features("""
            vem | sem Fio | eliminar cabos da mesa
            traz | Luzes RGB | colorir a madrugada
            é | Ergonômic@ | descansar o punho
            é | Plug and Play | dispensar programas
            é | Silencios@ | não incomodar colegas
            traz | Alta Precisão | obedecer ao menor gesto
        """),
        _names("Alumínio, Plástico ABS, Policarbonato, Silicone"),
        Sizes("{} Meses", "com garantia de {}", "tranquiliza a compra", _names("3, 6, 9, 12, 18, 24, 36, 48, 60")),
        "cor",
        _names("Preto, Branco, Grafite, Prata, Rosa, Azul Claro"),
    ),
    Family(
        "ferramentas",
        "Construíd@ em",
        _products("""
            Furadeira | a | abre furos certeiros
            Parafusadeira | a | monta móveis num instante
            Serra Tico-Tico | a | recorta curvas na madeira
            Lixadeira | a | alisa portas e janelas
            Esmerilhadeira | a | desbasta peças de metal
        """),
        _features("""
            vem | com Maleta | chegar pronta à obra
            traz | Empunhadura Macia | vibrar menos na mão
            traz | Velocidade Variável | dosar a força
            traz | Bateria Removível | trabalhar longe da tomada
            traz | Luz de LED | clarear cantos escuros
            traz | Proteção Térmica | prolongar o motor
        """),
        _names("Aço Carbono, Plástico ABS, Magnésio, Alumínio"),
        Sizes("{} V", "com {} de tensão", "enfrenta a reforma", _names("12, 14, 16, 18, 20, 21")),
        "cor",
        _names("Amarelo, Laranja, Vermelho, Verde, Azul Marinho, Preto"),
    ),
    Family(
        "beleza",
        "Formulad@ com",
        _products("""
            Shampoo | o | limpa sem ressecar
            Condicionador | o | desembaraça na primeira passada
            Máscara Capilar | a | transforma o banho em spa
            Creme de Pentear | o | define ondas e cachos
            Sérum Capilar | o | finaliza o penteado
        """),
        _features("""
            é | Vegan@ | cuidar sem crueldade
            vem | sem Parabenos | respeitar peles sensíveis
            vem | sem Sulfato | preservar a coloração
            é | Antifrizz | domar fios rebeldes
            traz | Proteção Térmica | enfrentar o secador
            traz | Ação Prolongada | durar até a noite
        """),
        _names("Óleo de Argan, Manteiga de Karité, Aloe Vera, Queratina, Óleo de Coco, Pantenol"),
        Sizes(
            "{} ml",
            "com {} no frasco",
            "acompanha um mês de cuidados",
            _names("100, 150, 200, 250, 300, 350, 400, 500, 750"),
        ),
        "fragrância",
        _names("Lavanda, Baunilha, Flor de Laranjeira, Capim-Limão, Frutas Vermelhas, Erva-Doce"),
    ),
    Family(
        "pets",
        "Costurad@ em",
        _products("""
            Cama para Cachorro | a | embala sonecas felizes
            Cama para Gato | a | conquista o felino exigente
            Toca para Gato | a | vira esconderijo predileto
            Colchonete Pet | o | acompanha passeios de carro
            Almofada Pet | a | acolhe depois do passeio
        """),
        _features("""
            é | Lavável | sair limp@ da máquina
            traz | Base Antiderrapante | ficar parad@ no piso
            traz | Capa Removível | trocar em dia de banho
            traz | Enchimento Fofo | amortecer as articulações
            traz | Tecido Repelente | não juntar pelos
            é | Dupla Face | variar entre verão e inverno
        """),
        _names("Algodão, Plush, Suede, Nylon, Microfibra, Lona"),
        Sizes(
            "{} cm",
            "com {} de comprimento",
            "acolhe com espaço de sobra",
            _names("40, 45, 50, 55, 60, 70, 80, 90, 100"),
        ),
        "cor",
        _names("Marrom, Bege, Cinza, Rosa, Azul Claro, Vermelho"),
    ),
    Family(
        "esporte",
        "Revestid@ em",
        _products("""
            Halter | o | fortalece braços e ombros
            Kettlebell | o | trabalha o corpo inteiro
            Anilha | a | aumenta a carga aos poucos
            Caneleira de Peso | a | intensifica a caminhada
            Bola de Peso | a | desafia o abdômen
        """),
        _features("""
            é | Antiderrapante | manter a firmeza com suor
            traz | Pegada Firme | treinar com confiança
            traz | Formato Compacto | sumir debaixo da cama
            é | Silencios@ | não brigar com o vizinho
            traz | Cantos Suaves | proteger a pele
            vem | com Guia de Treino | começar do jeito certo
        """),
        _names("PVC, Neoprene, Borracha, Vinil, Nylon, Couro Sintético"),
        Sizes("{} kg", "com {} de carga", "puxa a evolução", _names("1, 2, 3, 4, 5, 6, 8, 10, 12")),
        "cor",
        _names("Preto, Rosa, Roxo, Azul Claro, Verde, Laranja"),
    ),
    Family(
        "iluminação",
        "Trabalhad@ em",
        _products("""
            Luminária de Mesa | a | favorece a leitura noturna
            Pendente | o | destaca a bancada
            Abajur | o | acalma a hora de dormir
            Arandela | a | realça o corredor
            Plafon | o | clareia o teto por inteiro
        """),
        _features("""
            é | Dimerizável | regular o clima da noite
            traz | Luz Amarelada | deixar a casa acolhedora
            é | Bivolt | instalar em qualquer cidade
            é | Econômic@ | aliviar a conta
            vem | com Controle Remoto | apagar sem sair da cama
            traz | Instalação Simples | dispensar eletricista
        """),
        _names("Metal, Vidro, Acrílico, Bambu, Cobre, Rattan, Madeira"),
        Sizes("{} W", "com {} de consumo", "cria conforto na medida", _names("5, 7, 9, 12, 15, 18, 24, 30, 36")),
        "cor",
        _names("Preto, Dourado, Branco, Prata, Marrom, Verde Oliva"),
    ),
)
