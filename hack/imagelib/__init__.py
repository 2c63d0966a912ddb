"""The images of STOQ mesh: the parts behind `hack/images`.

A builder (buildah or docker) runs the Dockerfile; what it is given is gathered here: the wheel of
this repository, the wheels of the locks, and a base where no registry has one.
"""
