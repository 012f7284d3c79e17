"""
Text as sparse columns
======================

``TfidfVectorizer`` turns texts into a sparse matrix with thousands of columns.
``TwoLayerClassifier`` accepts any sparse format and never makes the whole matrix dense.
Sparse columns are scaled but not centred.
"""

# %%
# The texts
# ---------
# The texts come from the documentation of scikit-learn. Each text describes one
# parameter of an estimator, and its label is the module of the estimator. Some texts
# occur in several modules, so no classifier can be perfect.

import inspect
import re
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import all_estimators

from sknet import TwoLayerClassifier

PARAMETER = re.compile(r"^(\w+ : .*\n(?:    .*\n|\n)+)", re.MULTILINE)
MODULES = ["cluster", "decomposition", "ensemble", "linear_model", "preprocessing"]

texts, labels = [], []
for _, estimator in all_estimators():
    module = estimator.__module__.split(".")[1]
    if module in MODULES:
        section = inspect.getdoc(estimator).partition("Parameters\n")[2]
        found = PARAMETER.findall(section.partition("\nAttributes\n")[0])
        texts += found
        labels += [module] * len(found)

print(
    f"{len(texts)} texts from {len(set(labels))} modules. One of them, {labels[0]}:\n"
)
print(texts[0])

# %%
# Three classifiers with the same vectorizer
# ------------------------------------------
# Each hidden unit has a weight for every word, so fewer units save time.
# ``input_dropout`` keeps the network from relying on single words. Linear models are
# fast and hard to beat on a few hundred texts, so try them first.

train, test, y_train, y_test = train_test_split(
    texts, labels, test_size=0.4, stratify=labels, random_state=0
)
models = {
    "TwoLayerClassifier": TwoLayerClassifier(
        hidden_layer_size=16, n_estimators=4, input_dropout=0.3, random_state=0
    ),
    "LogisticRegression": LogisticRegression(C=10, max_iter=1000),
    "MultinomialNB": MultinomialNB(alpha=0.1),
}
print(f"{'':<19} accuracy  log-loss  seconds")
pipelines = {}
for name, model in models.items():
    start = time.perf_counter()
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    pipelines[name] = make_pipeline(vectorizer, model).fit(train, y_train)
    seconds = time.perf_counter() - start
    accuracy = pipelines[name].score(test, y_test)
    loss = log_loss(y_test, pipelines[name].predict_proba(test))
    print(f"{name:<19} {accuracy:8.3f} {loss:9.3f} {seconds:8.1f}")

# %%
# Sparsity and memory
# -------------------

vectorizer, clf = pipelines["TwoLayerClassifier"]
X = vectorizer.transform(train)
print(
    f"{X.shape[0]} rows, {X.shape[1]} columns, {X.nnz / np.prod(X.shape):.2%} not zero"
)
print(
    f"{X.data.nbytes / 1e6:.1f} MB of values, {np.prod(X.shape) * 8 / 1e6:.0f} if dense"
)
same = np.allclose(clf.predict_proba(X), clf.predict_proba(X.tocsc()))
print("The format makes no difference:", same)

# %%
# Confusion matrix
# ----------------

_, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    pipelines["TwoLayerClassifier"],
    test,
    y_test,
    normalize="true",
    values_format=".2f",
    cmap="Blues",
    colorbar=False,
    xticks_rotation=25,
    ax=ax,
)
_ = ax.set_title("Share of each module's texts, held-out texts")

plt.show()
