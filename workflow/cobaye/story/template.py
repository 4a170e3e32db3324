"""The story of a study as a Jinja template; `story` computes the values that it names.

A paragraph is one line of the story, however many lines it takes here.
"""

from __future__ import annotations

STORY = """\
# {{ study }}: what λ does to a class, and what chance does

Learned from {% if backbone %}features of the backbone{{ "s" if "," in backbone }}
`{{ backbone }}` on {% endif -%}
the dataset `{{ dataset }}`.
Losses are {{ losses }} at {{ epoch }};
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
test {{ one.loss }} {{ one.best.test_loss | round_to(3) }},
accuracy {{ (100 * one.best.test_accuracy) | round_to(1) }} %.
{%- for end in one.ends %}
{{ end }}
{%- endfor %}

{% with minima = one.minima -%}
{% if minima.classes -%}
**Which λ is best for a class?** {{ minima.away | share(minima.classes) }} of the
{{- " %d" % minima.classes if minima.classes < one.classes }} classes
{{- " with two or more test images" if minima.classes < one.classes }}
have their lowest test loss away from it.
Noise alone would move {{ minima.curve | shares(minima.classes) }} if all classes shared one curve
over λ, and {{ minima.shape | shares(minima.classes) }} if each had its own amplitude of one shape,
lowest at one λ.
{% if minima.away > minima.shape[2] and minima.away > minima.curve[2] -%}
More classes lie elsewhere than noise and unequal amplitudes explain:
the curves differ in shape.
{%- elif minima.away > minima.curve[2] -%}
Classes differ in how much λ changes them;
that they differ in which λ is best is not known.
{%- else -%}
That is no more than noise alone makes.
{%- endif %}
{%- if minima.classes > 500 and minima.away > minima.curve[2] %}
(With long-tailed noise and no effect of λ, this was said of 14 % of simulated studies of 1,000
classes with 50 images of each, and of 26 % with 10.)
{%- endif %}
{%- else -%}
No class has two test images: what noise does cannot be told.
{%- endif %}{% endwith %}

{% with effect = one.effect -%}
**Does λ act alike on all classes?** {% if not effect -%}
There is nothing to compare:
{{ "one class" if one.classes == 1 else "one λ, or runs that do not differ" }}.
{%- else -%}
{% if effect.real -%}
No: the change of test loss from the best λ varies between classes by more than noise
{%- else -%}
No difference is known: the change of test loss from the best λ varies no more between classes than
noise explains
{%- endif %}
(test that the variance between classes is 0 at every λ: p = {{ effect.p_between }}).
Standard deviation of that change one step from the best λ:
{% for step in effect.steps -%}
at {{ step.weight_decay }}: {{ step.between_sd | round_to(3) }}
({{ step.between_sd_low | round_to(3) }} to {{ step.between_sd_high | round_to(3) }})
between classes against {{ step.noise_sd | round_to(3) }} of noise
{%- if step.reliability == step.reliability %},
reliability {{ step.reliability | round_to(2) }}{% endif %}{{ "; " if not loop.last }}
{%- endfor %}.
{% if effect.named.classes_bh -%}
The most classes differ from the mean class by a t test at λ = {{ effect.named.weight_decay }}:
{{ effect.named.classes_bh }} with the false discovery rate held at {{ effect.alpha }} %
(Benjamini–Hochberg), {{ effect.named.classes_holm }} with the probability of any error held there
(Holm).
{%- else -%}
By a t test no class differs from the mean class at any λ with the false discovery rate held at
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
the best λ surely helps {{ change.helped | some(one.classes) }}
and surely harms {{ change.harmed | some(one.classes) }}.
At another λ of the study
{{ "no class" if not change.elsewhere else change.elsewhere | count("class") }}
would surely be better off.
(Sure: the probability that any of these names is wrong is at most {{ change.alpha }} %, by Holm's
method over the list.)
{%- endif %}{% endwith %}

{% with ways = {"honest": "each class's lowest loss", "shrunk": "its shrunk curve"},
gains = one.gains -%}
**What would a λ per class gain?** {% if one.lambdas == 1 -%}
One λ: there is none to choose.
{%- else -%}
Read off the test images themselves it seems to gain
{{ gains.test.naive | gain }}
{%- if gains.test["chance, one shape"].gain == gains.test["chance, one shape"].gain %}; noise alone
would seem to gain {{ gains.test["chance, one shape"] | gain }} if all classes were best at one λ
{%- endif %}.
Chosen on validation and judged on test:
{% for way in ways -%}
by {{ ways[way] }} {{ gains["val and test"][way] | gain }} over other images of these classes
{%- if gains.classes[way].low == gains.classes[way].low %},
{{ gains.classes[way] | ends }} over other classes like these{% endif %}
{%- if "seeds" in gains %}, {{ gains.seeds[way] | gain }} over seeds{% endif %}
{{- "; " if not loop.last }}
{%- endfor %}.
{% if one.wins -%}
Choosing by {{ one.wins | map("extract", ways) | join(" and by ") }} lowers the loss
{%- if one.wins == one.wins_elsewhere %}, over other images and over other classes like these
{%- else %}, over other images of these classes{% endif %}
{%- else -%}
Neither way is known to lower the loss
{%- endif %}
{%- if one.loses %}; choosing by {{ one.loses | map("extract", ways) | join(" and by ") }} raises it
{%- endif %}.
(Each class's loss is read off the run of its λ: side by side, not of one classifier.)
{%- endif %}
{%- endwith %}

**Who is worst off?** At the best λ, the lowest accuracy of a class is
{{ one.lowest.accuracy | share }} (“{{ one.lowest.worst }}”);
the mean of the worst tenth ({{ one.tenth.classes | count("class") }}) is
{{ (100 * one.tenth.accuracy) | round_to(1) }} %.
{%- if one.pair %}
Most confused: “{{ one.pair.first }}” and “{{ one.pair.second }}”,
{{ one.pair.rate | share }} of whose images are taken for the other.
{%- endif %}

{%- if one.confidence %}

{% with seen = one.confidence -%}
**Confidence or error?** Between λ = {{ seen.against }} and the best λ, the change of a class's test
loss varies between classes with a standard deviation of {{ seen.spread.loss | spread(3) }} nats.
After one temperature per run, fitted on val, it is {{ seen.spread.scaled_loss | spread(3) }} nats
{%- if seen.less %}: what the temperature takes off is confidence, not error{% endif %}.
Of the Brier score it is {{ seen.spread.brier | spread(3) }}, of the error rate
{{ seen.spread.error | spread(1) }} points
{%- if not seen.error_differs %}, where no difference between classes is known{% endif %}.
Over all images, the best λ changes the loss by {{ seen.change.loss | signed(3) }} nats,
{{ seen.change.scaled_loss | signed(3) }} after the temperature, and the error rate by
{{ seen.change.error | signed(1) }} points.
{%- endwith %}
{%- endif %}

{%- if one.rivals %}

{% with seen = one.rivals -%}
**Beside one λ.** {% if not seen.rows -%}
No rival stayed finite.
{%- else -%}
Each rival is one classifier, chosen on val and judged on test beside the best single λ
(loss {{ seen.one.loss | round_to(4) }}, accuracy {{ (100 * seen.one.accuracy) | round_to(1) }} %).
Intervals are for other images of these classes.

{{ seen.rows | table }}

In mean test loss, {{ seen.lower | names("no rival is known to beat", "beats", "beat") }} one λ
{%- if seen.higher %}; {{ seen.higher | names("", "is worse", "are worse") }}{% endif %}
(all rivals together, Holm).
{% if seen.more_accurate or seen.less_accurate -%}
Accuracy, each interval for itself:
{%- if seen.more_accurate %} higher for {{ seen.more_accurate | join(", ") }}{% endif -%}
{{ ";" if seen.more_accurate and seen.less_accurate }}
{%- if seen.less_accurate %} lower for {{ seen.less_accurate | join(", ") }}{% endif %}.
{%- else -%}
No rival is known to change accuracy.
{%- endif %}
{%- if seen.has_per_class and seen.temperature %}
A λ per class or group {% if seen.per_class -%}
changes the loss by {{ seen.per_class | signed(4) }} at best
{%- else -%}
is not known to lower the loss
{%- endif %}; one temperature changes it by {{ seen.temperature | signed(4) }}.
{%- endif %}
{%- endif %}
{%- endwith %}
{%- endif %}
{%- else %}

No run stayed finite: there is nothing to tell.
{%- endfor %}
"""

# The end of a run, in the terminal.
SUMMARY = """\
{% for one in configurations -%}
{{ one.model }} · {{ one.optimizer }}: best λ {{ one.best.weight_decay }},
test {{ one.loss }} {{ one.best.test_loss | round_to(3) }},
accuracy {{ (100 * one.best.test_accuracy) | round_to(1) }} %.
{% with minima = one.minima %}{% if minima.classes -%}
{{ minima.away | share(minima.classes) }} of the classes have their lowest test loss at another λ,
{{ minima.curve[0] | share(minima.classes) }} by noise alone.
{%- endif %}{% endwith %}
{%- for end in one.ends %}
{{ end }}
{%- endfor %}

{% endfor -%}
"""

# A page for the report, and for a browser: {body} is the story.
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>cobaye</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 0.9em; }
th, td { border-bottom: 1px solid #bbb; padding: 0.25em 0.7em; text-align: left; }
</style>
{body}</html>
"""
