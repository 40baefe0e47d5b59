"""Programs with hand-derived back-propagation, as people write them, each with what a test of a checker needs.

Every module but this one is a program: first the code, written in the way of a notebook, a course or a small library
and for no checker; then, at its end, what a test needs:

``SHAPE``
    1: one function of value and gradients; 2: a pair, ``forward`` and ``backward``, mostly with a cache; 3: an object
    with state, or a list of layers that follow each other; 4: a network with a loss and a gradient; 5: parameters that
    an object or a module holds without their being passed.
``inputs(rng)``
    What is passed, by the names of the arguments of the forward (and of the constructor, where a class is given).
``subject(rng)``
    What a user would give to a checker before the inputs: ``(function,)``, ``(forward, backward)``, ``(layer,)``,
    ``([layer, layer],)``, ``(network,)`` or ``(Class,)``, which is made from those inputs that its constructor names.
``OPTIONS``
    Keywords for where two readings are possible: ``cost``, ``gradients``, ``wrt``, ``methods``, ``make``.
``truth(subject, g, rng)``
    Calls it as its users do: the scalar cost (of array outputs, the sum of each times a cotangent drawn from ``rng``)
    and the gradients by name: ``w`` for an argument, ``params['W1']`` or ``layers[0]`` for a part of one, ``W``,
    ``params['W1']``, ``weights[0]`` or ``affine1.W`` for what an object or a module holds, and ``W`` or ``[2].W`` for
    what the layers of a list hold, depending on whether one or several of them have it.
``parameters(subject, g)``
    By the same names, the live arrays, for a test to change in place.
``BACKWARD``
    The functions that hold the backward lines, as ``"Class.backward"``, or as ``"function: text"`` where they begin at
    the first line of the function that contains the text.
"""
