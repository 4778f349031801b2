"""What the vendor's tools wrote, read without them.

``dnndk_elf`` (with ``elf_file``) and ``xmodel`` read compiled kernels, ``info`` describes them;
``kernel`` checks one before it goes into a bundle. ``integers`` and ``find_integers`` look for a
network's weights in them, ``verify`` tells what was found; ``positions`` compares the fix points
of the vendor's quantizer with ours.
"""
