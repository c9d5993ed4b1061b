"""The methods: scores in ``score/``, ways to choose by them in ``choose/``. One file each; its name is the method's."""
