"""Golden answers of the default image model on pictures made by a formula, preprocessing included.

Run from the repository's root after `scripts/setup.sh run`, with numpy, Pillow and onnxruntime 1.31.1:
    python3 worker/tests/golden/image_golden.py
"""
import json,numpy as np,onnxruntime as ort
from PIL import Image
def picture(w,h):
    y,x=np.mgrid[0:h,0:w].astype(np.int64)
    r=x*255//(w-1); g=(x*3+y*7)%256; b=((x//16+y//16)%2)*200+(x*y)%56
    disc=(x-w//2)**2+(y-h//2)**2 < (h//4)**2
    r=np.where(disc,220,r); g=np.where(disc,40,g); b=np.where(disc,60,b)
    return np.stack([r,g,b],-1).astype(np.uint8)
def two_tap(im,size):
    """Half-pixel-centred bilinear of two taps an axis, edge clamped, no antialias, f64, not rounded."""
    h,w,_=im.shape
    def axis(n):
        c=(np.arange(size)+0.5)*n/size-0.5; i=np.floor(c).astype(int); f=c-i
        return np.clip(i,0,n-1),np.clip(i+1,0,n-1),f
    y0,y1,fy=axis(h); x0,x1,fx=axis(w); p=im.astype(np.float64)
    rows=p[y0]*(1-fy)[:,None,None]+p[y1]*fy[:,None,None]
    return rows[:,x0]*(1-fx)[None,:,None]+rows[:,x1]*fx[None,:,None]
s=ort.InferenceSession('.local/models/efficientnet-lite0.onnx',providers=['CPUExecutionProvider'])
def features(rgb): # HxWx3 numbers 0..255
    x=((rgb.astype(np.float32)-np.float32(127))/np.float32(128)).transpose(2,0,1)[None].astype(np.float32)
    return x,s.run(None,{'image':x})[0][0]
out={"onnxruntime":ort.__version__,"picture":"for pixel (x,y) of WxH, integers: r=x*255/(W-1); g=(3x+7y)%256; b=((x/16+y/16)%2)*200+(x*y)%56; where (x-W/2)^2+(y-H/2)^2<(H/4)^2: (220,40,60)","preprocess":"RGB, (v-127)/128, NCHW f32"}
def case(name,rgb,source):
    x,f=features(rgb)
    out[name]={"source":source,"rgb_sum":float(np.asarray(rgb,dtype=np.float64).sum()),"tensor_first8_of_each_channel":[[float(v) for v in x[0,c,0,:8]] for c in range(3)],"features":[float(v) for v in f]}
    return f
a=case("exact_224",picture(224,224),"224x224, no resize")
p=picture(320,180)
b=case("stretch_320x180_two_tap",two_tap(p,224),"320x180 -> 224x224, two-tap bilinear, half-pixel centres, f64, not rounded to u8")
b2=case("stretch_320x180_two_tap_u8",np.floor(two_tap(p,224)+0.5).astype(np.uint8),"the same rounded half up to u8")
c=case("stretch_320x180_pillow",np.asarray(Image.fromarray(p).resize((224,224),Image.BILINEAR)),"320x180 -> 224x224, Pillow BILINEAR (triangle filter, widened when shrinking)")
big=picture(1280,720)
d=case("stretch_1280x720_pillow",np.asarray(Image.fromarray(big).resize((224,224),Image.BILINEAR)),"1280x720 -> 224x224, Pillow BILINEAR")
d2=case("stretch_1280x720_two_tap_u8",np.floor(two_tap(big,224)+0.5).astype(np.uint8),"1280x720 -> 224x224, two-tap")
cos=lambda u,v: float(u@v/np.linalg.norm(u)/np.linalg.norm(v))
print('two-tap vs u8',abs(b-b2).max(),'cos two-tap/pillow 320',cos(b,c),'1280',cos(d,d2)); print(a[:6],a.sum())
json.dump(out,open('worker/tests/golden/image_efficientnet_lite0.json','w'))
