#!/bin/sh
# Makes the two small files that the demo sends: clip.mp4, a drawn face that moves its mouth and
# hums, and voice.wav, one spoken sentence. Needs ffmpeg (with libx264) and espeak-ng.
set -eu
cd -- "$(dirname -- "$0")"

# Whether a pixel is inside an ellipse: its middle (x, y), its half width and its half height.
ellipse() {
  echo "lt(pow((X-$1)/($3),2)+pow((Y-$2)/($4),2),1)"
}

face=$(ellipse 160 120 80 100)
eyes="$(ellipse 130 95 9 12)+$(ellipse 190 95 9 12)"
mouth=$(ellipse 160 165 30 '4+11*abs(sin(9*T))')

# The picture is drawn as luma and two chroma planes; those have half the size, so X and Y double.
double() {
  echo "$1" | sed 's/X/2*X/g; s/Y/2*Y/g'
}
luma="if($eyes,40,if($mouth,70,if($face,190,120)))"
blue="if($(double "$mouth"),110,if($(double "$face"),105,150))"
red="if($(double "$mouth"),180,if($(double "$face"),152,110))"

ffmpeg -v error -y \
  -f lavfi -i "color=s=320x240:r=25:d=4,format=yuv420p,geq=lum='$luma':cb='$blue':cr='$red'" \
  -f lavfi -i "aevalsrc='0.2*sin(2*PI*160*t)*abs(sin(9*t))':s=44100:d=4" \
  -c:v libx264 -pix_fmt yuv420p -preset veryslow -crf 26 -c:a aac -b:a 48k \
  -shortest -movflags +faststart -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  clip.mp4

espeak-ng -v en-gb -s 150 --stdout \
  'Hello. This is a short sentence for a face that would like to speak.' |
  ffmpeg -v error -y -i pipe: -af apad=whole_dur=4 -t 4 -ac 1 -ar 16000 \
    -fflags +bitexact -flags:a +bitexact voice.wav
