"""The losses of the semi-supervised GAN (Salimans et al. 2016), each a named few lines.

With C logits l and an implicit class "fake" of logit 0, P(real) = Z / (Z + 1) with Z = sum(exp(l)),
so log P(real) = -softplus(-logsumexp(l)) and log P(fake) = -softplus(logsumexp(l)).
"""

import tensorflow as tf


def loss_labeled(logits: tf.Tensor, labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Cross-entropy of labeled images: logits [N, C], labels int32 [N]; a scalar in nats."""
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def loss_consistency(
    logits: tf.Tensor, guesses: tf.Tensor, threshold: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy of the strong views with the guesses, and the share of images that teach.

    Parameters
    ----------
    logits : [N, C], of the strong views, for classes or sets of them
    guesses : [N, C], probabilities from the weak views
    threshold : an image whose likeliest class is less likely teaches nothing
    """
    sure = tf.cast(tf.reduce_max(guesses, axis=1) >= threshold, tf.float32)
    each = tf.nn.softmax_cross_entropy_with_logits(guesses, logits)
    return tf.reduce_mean(sure * each), tf.reduce_mean(sure)


def merge(logits: tf.Tensor, sets: tf.Tensor) -> tf.Tensor:
    """Logits of sets of classes, [N, S]: the logarithm of the sum of their members' exponentials.

    Parameters
    ----------
    logits : [N, C]
    sets : [C, S], 1 where a class belongs to a set; each class to one
    """
    top = tf.stop_gradient(tf.reduce_max(logits, axis=1, keepdims=True))
    return top + tf.math.log(tf.exp(logits - top) @ sets + 1e-30)


def sharpen(probabilities: tf.Tensor, exponent: float) -> tf.Tensor:
    """Raise [N, C] to a power and normalize (Berthelot et al. 2019, MixMatch)."""
    powers = probabilities**exponent
    return powers / tf.reduce_sum(powers, axis=1, keepdims=True)


def loss_distillation(logits: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy with a teacher's softened answers, both [N, C] (Hinton et al. 2015).

    Times the temperature squared, so that its gradients stay comparable; less the teacher's
    entropy, so that 0 is agreement.
    """
    targets = tf.nn.softmax(teacher / temperature)
    each = tf.nn.softmax_cross_entropy_with_logits(targets, logits / temperature)
    least = tf.nn.softmax_cross_entropy_with_logits(targets, teacher / temperature)
    return temperature**2 * tf.reduce_mean(each - least)


def align(probabilities: tf.Tensor, answered: tf.Tensor, expected: tf.Tensor) -> tf.Tensor:
    """Distribution alignment (Berthelot et al. 2020, ReMixMatch).

    Parameters
    ----------
    probabilities : [N, C], of unlabeled images
    answered : [C], the mean of earlier answers;  expected : [C], how often classes are seen

    Returns
    -------
    [N, C], probabilities pulled towards classes that were answered too rarely
    """
    pulled = probabilities * expected / tf.maximum(answered, 1e-6)
    return pulled / tf.reduce_sum(pulled, axis=1, keepdims=True)


def loss_real(logits: tf.Tensor) -> tf.Tensor:
    """Mean of -log P(real), for images that are real."""
    return tf.reduce_mean(tf.nn.softplus(-tf.reduce_logsumexp(logits, axis=1)))


def loss_fake(logits: tf.Tensor) -> tf.Tensor:
    """Mean of -log P(fake), for images that the generator made."""
    return tf.reduce_mean(tf.nn.softplus(tf.reduce_logsumexp(logits, axis=1)))


def loss_feature_matching(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Squared distance of the mean pooled features, [N, F] each: what the generator minimizes."""
    difference = tf.reduce_mean(real, axis=0) - tf.reduce_mean(fake, axis=0)
    return tf.reduce_mean(tf.square(difference))
