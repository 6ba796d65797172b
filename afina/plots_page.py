"""The page that `dvc plots` fills: DVC's own loads its scripts from a network, this one brings them along.

    python -m afina.plots_page      # writes .dvc/plots.html again, after vl-convert-python has moved

`.dvc/config` names the page (`plots.html_template`). The scripts are those that vl-convert-python carries: Vega,
Vega-Lite of the version that DVC's templates are written for, and Vega-Embed.
"""

from pathlib import Path

from stages.lib.files import whole

TARGET = Path(".dvc/plots.html")
VEGA_LITE = "5.21"  # dvc-render's templates name the schema vega-lite/v5

# {plot_divs} and {refresh_tag} are DVC's places; without {scripts}, its links to a network have none.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline' 'unsafe-eval'; img-src 'self' file: data: blob:">
{refresh_tag}
<title>Afina: plots</title>
<style>
body{margin:0;padding:24px;color:#1d2329;background:#fff;font:15px/1.5 system-ui,"Segoe UI",Roboto,Arial,sans-serif}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:32px}
main>div{overflow-x:auto;min-width:0}
table{border-spacing:15px}
img{max-width:100%}
@media (max-width:600px){body{padding:12px}}
</style>
<script>(() => {
SCRIPTS
})();</script>
</head>
<body>
<main>
{plot_divs}
</main>
</body>
</html>
"""


def page() -> str:
    """The page; equal versions of vl-convert-python give equal bytes."""
    import vl_convert

    scripts = vl_convert.javascript_bundle(vl_version=VEGA_LITE).strip()
    taken = [word for word in ("</script", "{plot_divs}", "{scripts}", "{refresh_tag}") if word in scripts]
    if taken:
        raise ValueError(f"the scripts hold {', '.join(taken)}, which would break the page")
    return PAGE.replace("SCRIPTS", scripts)


if __name__ == "__main__":
    with whole(TARGET) as begun:
        begun.write_text(page(), "utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
