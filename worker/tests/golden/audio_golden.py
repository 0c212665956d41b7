"""Golden answers of the default audio models: a five-second signal made by a formula -> features -> embeddings.

Run from the repository's root after `scripts/setup.sh run`, with numpy and onnxruntime 1.31.1:
    python3 worker/tests/golden/audio_golden.py
"""
import json,sys,numpy as np,onnxruntime as ort
def signal(n=80000):
    s=12345; out=[]
    for i in range(n):
        s=(s*1664525+1013904223)&0xFFFFFFFF
        noise=(s>>20)-2048
        period=40+20*(i//8000)          # changes each half second
        phase=i%period
        tri=abs(2*phase-period)*8000//period-4000
        out.append(tri+noise//4 if noise>=0 else tri-((-noise)//4))  # truncating division, as in Rust
    return np.array(out,dtype=np.int64)
def sess(p):
    o=ort.SessionOptions(); o.intra_op_num_threads=1
    return ort.InferenceSession(p,o,providers=['CPUExecutionProvider'])
if __name__=='__main__':
    m=sess('.local/models/melspectrogram.onnx'); e=sess('.local/models/embedding_model.onnx')
    for n,x in (('mel',m),('emb',e)): print(n,[(i.name,i.shape,i.type) for i in x.get_inputs()],[(i.name,i.shape) for i in x.get_outputs()])
    x=signal(); print(x.min(),x.max(),x[:8],int(x.sum()))
    for n in (0,100,400,511,512,640,1000,12640,16000,80000,80001):
        try:
            y=m.run(None,{m.get_inputs()[0].name:x[:1].repeat(n)[None].astype(np.float32) if n>80000 else x[None,:n].astype(np.float32)})[0]; print('mel shape for',n,y.shape)
        except Exception as ex: print('mel fails for',n,str(ex)[:160])
    mel=m.run(None,{m.get_inputs()[0].name:x[None].astype(np.float32)})[0]
    spec=mel.reshape(-1,32); feat=(spec/np.float32(10)+np.float32(2)).astype(np.float32)
    idx=range(0,len(feat)-76+1,8)
    win=np.stack([feat[i:i+76] for i in idx])[...,None].astype(np.float32)
    emb=e.run(None,{e.get_inputs()[0].name:win})[0]; print('mel',mel.shape,'windows',win.shape,'emb',emb.shape)
    one=np.concatenate([e.run(None,{e.get_inputs()[0].name:w[None]})[0] for w in win]); print('batched vs single',abs(one-emb).max())
    emb=emb.reshape(-1,96); mean=emb.astype(np.float64).mean(0)
    # chunked mel vs whole: does a frame depend on others?
    half=m.run(None,{m.get_inputs()[0].name:x[None,:40000].astype(np.float32)})[0].reshape(-1,32); d=abs(half-spec[:len(half)]); print('chunk of first half: frames',len(half),'max diff',d.max(), 'frames differing',int((d.max(1)>1e-4).sum()))
    z=m.run(None,{m.get_inputs()[0].name:np.zeros((1,16000),np.float32)})[0]; print('silence mel',z.min(),z.max())
    json.dump({
     "onnxruntime":ort.__version__,"sample_rate_hz":16000,"samples":80000,
     "signal":"s=12345; for i in 0..80000 { s=s*1664525+1013904223 mod 2^32; noise=(s>>20)-2048; period=40+20*(i/8000); phase=i%period; tri=|2*phase-period|*8000/period-4000; sample=tri+noise/4 } all divisions truncate toward zero; sample fed as f32 without scaling",
     "signal_first16":[int(v) for v in x[:16]],"signal_sum":int(x.sum()),
     "mel_shape":list(mel.shape),"mel_frame0":[float(v) for v in spec[0]],"mel_frame_last":[float(v) for v in spec[-1]],"mel_mean_f64":float(spec.astype(np.float64).mean()),
     "windows":len(win),"embedding_shape":list(emb.shape),
     "embedding_first":[float(v) for v in emb[0]],"embedding_last":[float(v) for v in emb[-1]],"embedding_mean":[float(v) for v in mean]},
     open('worker/tests/golden/audio_openwakeword.json','w'),indent=1)
