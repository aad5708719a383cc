# vcm_mt for CPUs. From the project's root:
#     docker build -f docker/cpu.Dockerfile -t vcm_mt .
#     docker run --rm -it -v "$PWD/work_dirs:/vcm_mt/work_dirs" vcm_mt python tools/demo.py
# For PyTorch's build without CUDA, 5 GB less, where an index has it:
#     docker build --build-arg SETUP="--torch cpu --index ADDRESS" ...
FROM python:3.11.9-slim-bookworm

# g++ compiles mmcv's ops, and what torch.compile makes; the libraries are OpenCV's.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git libgl1 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 vcm \
    && install -d -o vcm -g vcm /vcm_mt
USER vcm
WORKDIR /vcm_mt
ENV PIP_NO_CACHE_DIR=1 PATH=/vcm_mt/.venv/bin:$PATH

# What decides the environment alone, so that a change of the sources compiles nothing anew.
COPY --chown=vcm:vcm setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=vcm:vcm tools/dev/bootstrap.py tools/dev/gpu.py tools/dev/
COPY --chown=vcm:vcm vcm_mt/__init__.py vcm_mt/backend.py vcm_mt/compat.py vcm_mt/errors.py \
    vcm_mt/version.py vcm_mt/
ARG SETUP=""
RUN python tools/dev/bootstrap.py $SETUP

COPY --chown=vcm:vcm . .
CMD ["python", "tools/demo.py"]
