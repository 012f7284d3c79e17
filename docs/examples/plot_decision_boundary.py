"""
Where the network decides
=========================

Two half moons that no straight line parts. A network with one hidden layer bends its
boundary, and how far it can bend depends on its hidden units. scikit-learn's
``DecisionBoundaryDisplay`` draws it.
"""

# %%
# Three networks
# --------------
# ``activation="identity"`` leaves only straight lines: it is the same model as a
# logistic regression. Four hidden units of a single member can bend a line four times,
# and each bend is seen. The default has units to spare, and the mean of its members is
# smooth. ``split_inputs=False`` keeps the first two from having a bend of their own in
# each column.

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split

from sknet import TwoLayerClassifier

X, y = make_moons(600, noise=0.25, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

networks = {
    "no bend": TwoLayerClassifier(
        activation="identity", split_inputs=False, random_state=0
    ),
    "four hidden units": TwoLayerClassifier(
        4,
        n_estimators=1,
        solver="lbfgs",
        alpha=0.001,
        max_iter=300,
        split_inputs=False,
        random_state=0,
    ),
    "default": TwoLayerClassifier(random_state=0),
}
for name, network in networks.items():
    network.fit(X_train, y_train)
    print(f"{name:<18} accuracy on new rows {network.score(X_test, y_test):.2f}")

# %%
# The pictures
# ------------
# Where the colour is pale the network is unsure. The line is the boundary itself: there
# both classes have the probability one half. Dots are the new rows.

dots = ListedColormap(["tab:red", "tab:blue"])
_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, (name, network) in zip(axes, networks.items(), strict=True):
    shown = {"response_method": "predict_proba", "grid_resolution": 200, "eps": 0.3}
    DecisionBoundaryDisplay.from_estimator(
        network,
        X,
        plot_method="pcolormesh",
        cmap="RdBu",
        vmin=0,
        vmax=1,
        ax=ax,
        **shown,
    )
    DecisionBoundaryDisplay.from_estimator(
        network, X, plot_method="contour", levels=[0.5], colors="black", ax=ax, **shown
    )
    ax.scatter(*X_test.T, c=y_test, cmap=dots, edgecolor="white", s=25)
    ax.set_title(name)

plt.show()
