"""The story of a study as a Jinja template; `story` computes the values that it names.

A paragraph is one line of the story, however many lines it takes here.
"""

from __future__ import annotations

STORY = """\
# {{ study }}: what λ does to a class, and what chance does

Learned from {% if backbone %}features of the backbone{{ "s" if "," in backbone }}
`{{ backbone }}` on {% endif -%}
the dataset `{{ dataset }}`.
Losses are {{ losses }} at the last epoch;
the best λ is chosen on the validation split; intervals are at the level of the analysis.
Every number comes from the study's tables.

{%- for one in configurations %}

## {{ one.model }} · {{ one.optimizer }}

{{ one.runs | count("run") }}, {{ one.seeds | count("seed") }};
{{ one.classes | count("class") }} with {{ one.images }}
test image{{ "s" if one.images != "1" }}{{ " each" if one.classes > 1 }}.
{%- if one.diverged %}
{{ one.diverged | count("run") }} diverged and {{ "is" if one.diverged == 1 else "are" }} left out.
{%- endif %}
The best λ overall is **{{ one.best.weight_decay }}**:
test loss {{ one.best.test_loss | round_to(3) }},
accuracy {{ (100 * one.best.test_accuracy) | round_to(1) }} %.

{% with minima = one.minima -%}
{% if minima.classes -%}
**Counting minima.** {{ minima.away | share(minima.classes) }} of the
{{- " %d" % minima.classes if minima.classes < one.classes }} classes
{{- " with two or more test images" if minima.classes < one.classes }}
have their lowest test loss away from it.
If all classes shared one curve over λ, resampling noise alone would move
{{ minima.chance | share(minima.classes) }}
({{ minima.low | share(minima.classes) }} to {{ minima.high | share(minima.classes) }}):
{% if minima.away > minima.high %}more{% elif minima.away < minima.low %}fewer{% else %}no more
{%- endif %} than noise alone makes.
{%- else -%}
No class has two test images: what noise does cannot be told.
{%- endif %}{% endwith %}

{% with effect = one.effect -%}
**Is it real?** {% if not effect -%}
There is nothing to compare:
{{ "one class" if one.classes == 1 else "one λ, or runs that do not differ" }}.
{%- else -%}
λ {{ "does not act alike on all classes" if effect.real else
"may act alike on all classes: the test does not tell them apart" }}
(permutation test over all λ, p = {{ effect.p }}
{%- if effect.p_welch %}; for means alone, p = {{ effect.p_welch }}{% endif %}).
Standard deviation of a class's loss difference one step from the best λ:
{% for step in effect.steps -%}
at {{ step.weight_decay }}: {{ step.between_sd | round_to(3) }}
({{ step.between_sd_low | round_to(3) }} to {{ step.between_sd_high | round_to(3) }})
between classes against {{ step.noise_sd | round_to(3) }} of noise
{%- if step.reliability == step.reliability %},
reliability {{ step.reliability | round_to(2) }}{% endif %}{{ "; " if not loop.last }}
{%- endfor %}.
{% if effect.named.classes_bh -%}
The most classes differ from 0 by a t test at λ = {{ effect.named.weight_decay }}:
{{ effect.named.classes_bh }} with the false discovery rate held at {{ effect.alpha }} %
(Benjamini–Hochberg), {{ effect.named.classes_holm }} with the probability of any error held there
(Holm).
{%- else -%}
By a t test no class differs from 0 at any λ with the false discovery rate held at
{{ effect.alpha }} % (Benjamini–Hochberg).
{%- endif %}
{%- if effect.kappa == effect.kappa %}
Random halves of the images agree on a class's best λ in
{{ effect.agreement | share }} of the classes, {{ effect.agreement_by_chance | share }} by chance:
κ = {{ effect.kappa | round_to(2) }}
({{ effect.kappa_low | round_to(2) }} to {{ effect.kappa_high | round_to(2) }}).
{%- endif %}
{%- endif %}{% endwith %}

{% with change = one.change -%}
**Who is helped?** {% if change.against == one.best.weight_decay -%}
{{ "One λ" if one.lambdas == 1 else "The best λ is the one to compare with" }}:
nobody can be helped or harmed.
{%- else -%}
Compared with λ = {{ change.against }}, and with every class's curve shrunk towards the others,
the best λ helps {{ change.helped | some(one.classes) }}
and harms {{ change.harmed | some(one.classes) }}
with probability {{ change.sure }} or more each.
{{ change.elsewhere | count("class") }} would be better off, as surely, at another λ of the study.
{%- endif %}{% endwith %}

{% with ways = {"honest": "each class's lowest on val", "shrunk": "the lowest of its shrunk curve"},
gains = one.gains -%}
**What does the compromise cost?** Read off the test images themselves, a λ per class seems to gain
{{ gains.test.naive | gain }}
{%- if gains.test.chance.gain == gains.test.chance.gain %}; it would seem to gain
{{ gains.test.chance | gain }} if all classes were alike{% endif %}.
Chosen on validation and judged on test it gains {{ gains.test.honest | gain }} by each class's
lowest loss, and {{ gains.test.shrunk | gain }} by its shrunk curve.
With the validation images drawn anew as well,
{% for way in ways -%}
{{ ways[way] }}: {{ gains["val and test"][way] | gain }}{{ "; " if not loop.last }}
{%- endfor %}.
{%- for way in ways if "seeds" in gains %}
Over seeds, {{ ways[way] }}: {{ gains.seeds[way] | gain }}.
{%- endfor %}
{% if one.wins -%}
Choosing by {{ one.wins | map("extract", ways) | join(" and by ") }} pays,
over other validation and test images too
{%- else -%}
Neither way is known to beat one λ for all, over other validation and test images
{%- endif %}
{%- if one.loses %}; choosing by {{ one.loses | map("extract", ways) | join(" and by ") }} hurts
{%- endif %}.
(Each class's loss is read off the run of its λ: side by side, not of one classifier.)
{%- endwith %}

**Who is worst off?** At the best λ, the lowest accuracy of a class is
{{ one.lowest.accuracy | share }} (“{{ one.lowest.worst }}”);
the mean of the worst tenth ({{ one.tenth.classes | count("class") }}) is
{{ (100 * one.tenth.accuracy) | round_to(1) }} %.
{%- if one.pair %}
Most confused: “{{ one.pair.first }}” and “{{ one.pair.second }}”,
{{ one.pair.rate | share }} of whose images are taken for the other.
{%- endif %}

{%- if one.class_decay is not none %}

**A λ for each class?** {% if not one.class_decay.ways -%}
No classifier with one stayed finite.
{%- else -%}
{% with ways = one.class_decay.ways, single = one.class_decay.single,
wins = one.class_decay.wins, loses = one.class_decay.loses -%}
{{ "One more classifier" if ways | length == 1 else "%d more classifiers" % ways | length }}
with a λ for each class, judged on test beside the best single one
(loss {{ single.loss | round_to(4) }}, accuracy {{ (100 * single.accuracy) | round_to(1) }} %):
{% for way in ways -%}
by {{ way.by }}: {{ way.loss | signed(4) }} in test loss,
{{ way.accuracy | signed(1) }} points of accuracy,
{{ way.tenth | signed(1) }} in the worst tenth of the classes ({{ way.verdict }})
{{- "; " if not loop.last }}
{%- endfor %}.
{% if wins -%}
Choosing by {{ wins | join(" and by ") }} beats one λ, in mean loss, on the test images of this
study
{%- else -%}
No way is known to beat one λ for all
{%- endif %}
{%- if loses %}; choosing by {{ loses | join(" and by ") }} is worse{% endif %}.
{%- endwith %}
{%- endif %}
{%- endif %}
{%- else %}

No run stayed finite: there is nothing to tell.
{%- endfor %}
"""
