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
